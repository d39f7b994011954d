"""What workers have in hand at this moment, asked through `inspect`, of those with the tracker and of any others.

An answer that makes no sense is silence. Silence of all means something only if the broker is shown to work.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from celery import Celery
from pydantic import BaseModel, ValidationError

from reference_impl.bounded import NotInTimeError, within
from reference_impl.rollcall import bounded_connection, call_the_roll
from reference_impl.shown import moment_of
from reference_impl.storable import is_task_id


class Hold(StrEnum):
    """What a worker does with a task, by the name of the command that tells it."""

    ACTIVE = "active"
    RESERVED = "reserved"
    SCHEDULED = "scheduled"


@dataclass(frozen=True)
class LiveTask:
    """A task that a worker has; arguments as the message has them, with whatever secrets."""

    task_id: str
    name: str | None
    args: Any
    kwargs: Any
    worker: str
    hold: Hold
    started_at: datetime | None


@dataclass(frozen=True)
class LiveWork:
    """What those who answered have; each task once, as what is furthest."""

    answered: frozenset[str]
    tasks: Mapping[str, LiveTask]


class WorkersAwayError(Exception):
    """Nobody could be asked: the broker failed, or is not shown to work."""


class _Request(BaseModel):
    """A task as `active` and `reserved` tell of it."""

    id: str
    name: str | None = None
    args: Any = None
    kwargs: Any = None
    time_start: Any = None


def ask_workers(app: Celery, timeout_s: float) -> LiveWork:
    """Ask all of them at once for all that they have; takes about `timeout_s`, and thrice that at most.

    Raises WorkersAwayError.
    """
    with ThreadPoolExecutor(len(Hold) + 1, thread_name_prefix="celery-tracker live work") as pool:
        roll = pool.submit(call_the_roll, app, timeout_s)
        asked = {hold: pool.submit(_answers, app, hold, timeout_s) for hold in Hold}
        call = roll.result()
        if not call.broker_works:
            raise WorkersAwayError(call.why)
        answers = {hold: future.result() for hold, future in asked.items()}
    answered = frozenset(worker for told in answers.values() for worker, _ in told)
    tasks: dict[str, LiveTask] = {}
    for hold in Hold:
        for worker, told in answers[hold]:
            for each in told:
                task = _task(each, worker, hold)
                if task is not None:
                    tasks.setdefault(task.task_id, task)
    return LiveWork(answered, tasks)


def _answers(app: Celery, hold: Hold, timeout_s: float) -> list[tuple[str, list[Any]]]:
    """What each worker says; two of one name say it twice."""

    def ask() -> Any:
        with bounded_connection(app, timeout_s) as connection:
            return app.control.broadcast(hold, reply=True, timeout=timeout_s, connection=connection)

    try:
        replies = within(2 * timeout_s + 0.5, f"look at what is {hold}", ask) or []
    except NotInTimeError as error:
        raise WorkersAwayError(f"the broker gave {error}") from error
    except Exception as error:
        raise WorkersAwayError(f"the broker failed: {type(error).__name__}: {error}") from error
    return [(worker, told) for reply in replies for worker, told in reply.items() if isinstance(told, list)]


def _task(told: Any, worker: str, hold: Hold) -> LiveTask | None:
    if hold is Hold.SCHEDULED and isinstance(told, Mapping):
        told = told.get("request")
    try:
        request = _Request.model_validate(told)
    except ValidationError:
        return None
    if not is_task_id(request.id):
        return None
    return LiveTask(request.id, request.name, request.args, request.kwargs, worker, hold, moment_of(request.time_start))
