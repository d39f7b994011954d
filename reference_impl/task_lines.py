"""One line about each task, as somebody who runs the system reads it; from the registry, by its indexes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection, Row, text

from reference_impl.lifecycle import ENDED, Status
from reference_impl.live_work import LiveTask
from reference_impl.masking import masked_throughout
from reference_impl.settings import Settings
from reference_impl.shown import Word, description_of, error_line, is_state, name_of, statuses_of, word_of
from reference_impl.status import Place, seconds_between
from reference_impl.storable import storable


class TaskLine(BaseModel):
    """What is shown of a task; times are in UTC."""

    task_id: str
    name: str | None = Field(description="in words, from the last part of `task_name`")
    task_name: str | None = Field(description="as Celery has it; null where nobody has told it")
    status: Word
    state: str = Field(description="Celery's word, or the task's own, such as PROGRESS")
    description: str = Field(description="its name with its arguments, on one line")
    worker: str | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None = Field(description="from start to end; null as long as one of them is not known")
    error_message: str | None = Field(description="one line of 200 characters at most; secrets are masked")
    args: Any = Field(description="the stored form, in which secrets are masked")
    kwargs: Any = Field(description="see `args`")
    retries: int = Field(description="how often it was started again")


@dataclass(frozen=True)
class Filter:
    """Which tasks; times are those at which a task was first heard of."""

    words: Collection[Word] = ()
    name: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_KNOWN_AT = "coalesce(queued_at, started_at, completed_at)"
_SELECT = """
    SELECT task_id, task_name, status, worker_id, started_at, completed_at, error_type, error_message, args, kwargs,
           attempts, progress, reason, coalesce(queued_at, started_at, completed_at) AS known_at
    FROM celery_task_registry
"""
_CONDITIONS = {
    "status": "status = ANY(:status)",
    "name": "task_name = :name",
    "since": f"{_KNOWN_AT} >= :since",
    "until": f"{_KNOWN_AT} < :until",
    "at": f"({_KNOWN_AT}, task_id) < (:at, :task_id)",
}
_ORDER = f"ORDER BY {_KNOWN_AT} DESC, task_id DESC LIMIT :limit"
_NEWEST_ENDS = text(f"""
    {_SELECT} WHERE completed_at IS NOT NULL AND status IN ('SUCCESS', 'FAILURE', 'REVOKED')
    ORDER BY completed_at DESC, task_id DESC LIMIT :limit
""")
_NEWEST_STARTS = text(f"{_SELECT} WHERE status = 'STARTED' ORDER BY started_at DESC, task_id DESC LIMIT :limit")
_NAMED = text(f"{_SELECT} WHERE task_id = ANY(:task_ids)")


def page(
    connection: Connection, asked: Filter, secrets: Collection[str], *, after: Place | None, limit: int
) -> list[tuple[Place, TaskLine]]:
    """The newest first, by the moment they were first heard of, which stays while they finish; `after` a place."""
    values = {
        "status": [str(status) for status in statuses_of(asked.words)] or None,
        "name": asked.name,
        "since": asked.since,
        "until": asked.until,
        "at": after.at if after else None,
    }
    given = {name: value for name, value in values.items() if value is not None}
    # Only what is asked for: a condition that may be none keeps Postgres from its index.
    conditions = " AND ".join([f"{_KNOWN_AT} IS NOT NULL", *(_CONDITIONS[name] for name in given)])
    query = text(f"{_SELECT} WHERE {conditions} {_ORDER}")
    found = connection.execute(query, {**given, "task_id": after.task_id if after else None, "limit": limit})
    return [(Place(row.known_at, row.task_id), _line(row, secrets)) for row in found]


def newest_ends(connection: Connection, secrets: Collection[str], limit: int) -> list[TaskLine]:
    """Those that ended last, the newest end first."""
    return [_line(row, secrets) for row in connection.execute(_NEWEST_ENDS, {"limit": limit})]


def newest_starts(connection: Connection, secrets: Collection[str], limit: int) -> list[TaskLine]:
    """Those that are executed as far as the registry knows, the newest start first."""
    return [_line(row, secrets) for row in connection.execute(_NEWEST_STARTS, {"limit": limit})]


def running(connection: Connection, tasks: Collection[LiveTask], settings: Settings) -> list[TaskLine]:
    """Those that workers say they execute; the registry knows more of most of them."""
    found = connection.execute(_NAMED, {"task_ids": [task.task_id for task in tasks]})
    rows = {row.task_id: row for row in found}
    return [_running_line(task, rows.get(task.task_id), settings) for task in tasks]


def live_line(task: LiveTask, settings: Settings) -> TaskLine:
    """All that a worker tells of a task that it executes."""
    limit, secrets = settings.stored_arguments_bytes, settings.masked_names
    args, kwargs = (
        masked_throughout(storable(form, limit_bytes=limit, masked_names=secrets), secrets)
        for form in (task.args, task.kwargs)
    )
    return TaskLine(
        task_id=task.task_id,
        name=name_of(task.name),
        task_name=task.name,
        status=Word.IN_PROGRESS,
        state=Status.STARTED,
        description=description_of(task.name, args, kwargs),
        worker=task.worker,
        started_at=task.started_at,
        completed_at=None,
        duration_seconds=None,
        error_message=None,
        args=args,
        kwargs=kwargs,
        retries=0,
    )


def _running_line(task: LiveTask, row: Row[Any] | None, settings: Settings) -> TaskLine:
    if row is None or row.status != Status.STARTED:
        return live_line(task, settings)
    line = _line(row, settings.masked_names)
    return line.model_copy(update={"worker": task.worker})


def _line(row: Row[Any], secrets: Collection[str]) -> TaskLine:
    status = Status(row.status)
    args, kwargs = masked_throughout(row.args, secrets), masked_throughout(row.kwargs, secrets)
    own = row.progress.get("state") if status is Status.STARTED and isinstance(row.progress, dict) else None
    failed = status in ENDED and status is not Status.SUCCESS
    return TaskLine(
        task_id=row.task_id,
        name=name_of(row.task_name),
        task_name=row.task_name,
        status=word_of(status),
        state=own if own is not None and is_state(own) else status,
        description=description_of(row.task_name, args, kwargs),
        worker=row.worker_id,
        started_at=row.started_at,
        completed_at=row.completed_at,
        duration_seconds=seconds_between(row.started_at, row.completed_at),
        error_message=error_line(row.error_type, row.error_message or row.reason, secrets) if failed else None,
        args=args,
        kwargs=kwargs,
        retries=max(0, row.attempts - 1),
    )
