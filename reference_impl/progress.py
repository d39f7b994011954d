"""Progress: how a task tells how far it is, and what is made of whatever it says.

Celery tells nobody when a task updates its state, so its `update_state` tells as well. What a task says may be
anything; what is shown has `current`, `total`, `percent`, `message` and `state`, each only where it makes sense.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from celery import Celery, Task, current_task, states

from reference_impl.storable import readable

Tell = Callable[..., None]

MESSAGE_CHARS_MAX = 500


class ProgressError(ValueError):
    """What was given is no progress; the message says what was expected."""


def report_progress(current: float, total: float | None = None, message: str | None = None) -> None:
    """From within a task: how much of how much is done, and a word about it. A sign of life, too.

    Raises ProgressError where the numbers are none, negative or infinite, or `current` is above `total`, and
    RuntimeError outside a task.
    """
    if not current_task:
        raise RuntimeError("report_progress() tells of the task that is being executed, and there is none")
    meta = {"current": current, "total": total, "message": message}
    meta = {name: value for name, value in meta.items() if value is not None}
    _, remarks = shown(meta)
    if remarks:
        raise ProgressError("; ".join(remarks))
    current_task.update_state(state="PROGRESS", meta=meta)


def shown(meta: object) -> tuple[dict[str, Any], list[str]]:
    """What is shown of a task's word about its progress, and a remark on each part that was mended or left out."""
    if not isinstance(meta, Mapping):
        return {}, [] if meta is None else [f"progress is a {type(meta).__name__}, and is left out"]
    remarks: list[str] = []
    form: dict[str, Any] = {}
    current, total = (_number(meta.get(name), name, remarks) for name in ("current", "total"))
    if total is not None and total <= 0:
        remarks.append(f"total is {total:g}, and is left out")
        total = None
    if current is not None and total is not None and current > total:
        remarks.append(f"current is {current:g}, over the total of {total:g}")
        current = total
    percent = None if current is None or total is None else 100 * current / total
    if percent is None:
        percent = _number(meta.get("percent"), "percent", remarks)
        if percent is not None and percent > 100:
            remarks.append(f"percent is {percent:g}")
            percent = 100.0
    for name, value in (("current", current), ("total", total), ("percent", percent)):
        if value is not None:
            form[name] = round(value, 1) if name == "percent" else value
    if meta.get("message") is not None:
        message = meta["message"]
        form["message"] = readable(message, limit=MESSAGE_CHARS_MAX)
        if not isinstance(message, str) or len(message) > MESSAGE_CHARS_MAX:
            remarks.append(f"message is a {type(message).__name__}, and is shortened to {MESSAGE_CHARS_MAX} characters")
    return form, remarks


def never_back(form: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same, not behind what was shown before of the same total."""
    behind = (
        before is not None
        and before.get("total") == form.get("total")
        and form.get("current") is not None
        and before.get("current") is not None
        and form["current"] < before["current"]
    )
    kept = {name: before[name] for name in ("current", "percent") if name in before} if behind and before else {}
    return {**form, **kept}


def _number(value: object, name: str, remarks: list[str]) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        remarks.append(f"{name} is a {type(value).__name__}, and is left out")
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        remarks.append(f"{name} is {readable(value, limit=40)!r}, which is no number, and is left out")
        return None
    if not math.isfinite(number):
        remarks.append(f"{name} is {number}, and is left out")
        return None
    if isinstance(value, str):
        remarks.append(f"{name} is the text {readable(value, limit=40)!r}")
    if number < 0:
        remarks.append(f"{name} is {number:g}, below 0")
        return 0
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def tell_progress(app: Celery, tell: Tell) -> None:
    """Call `tell` with `sender`, `state` and `meta` when a task of `app` reports a state of its own that is no end."""
    for task in app.tasks.values():
        _listen(task, tell)


def _listen(task: Task, tell: Tell) -> None:
    update = task.update_state

    @functools.wraps(update)
    def update_and_tell(task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any) -> None:
        update(task_id, state, meta, **kwargs)
        if task_id in {None, task.request.id} and state is not None and state not in states.READY_STATES:
            tell(sender=task, state=state, meta=meta)

    task.update_state = update_and_tell
