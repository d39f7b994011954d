"""Progress: Celery tells nobody when a task updates its state, so its `update_state` tells as well."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from celery import Celery, Task, states

Tell = Callable[..., None]


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
