"""A task's status as every surface tells it: API, WebSocket, client and command line, under the same names.

Times are aware, in UTC; `queue_seconds` and `run_seconds` follow from them. An error has a `code` that a program can
use and a `category` that tells whom it concerns.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection, Row, text

from reference_impl.lifecycle import ENDED, Status
from reference_impl.masking import masked_throughout
from reference_impl.progress import shown


class ResultState(StrEnum):
    """What became of a task's result."""

    PENDING = "pending"
    AVAILABLE = "available"
    PARTIAL = "partial"
    EXPIRED = "expired"
    NOT_KEPT = "not-kept"
    NONE = "none"


@dataclass(frozen=True)
class Place:
    """Where a task stands in the list of all."""

    at: datetime
    task_id: str


class ErrorDocument(BaseModel):
    """Why a task failed, or was revoked, and in which circumstances; secrets are masked throughout."""

    code: str = Field(description="stable, for programs: `exception`, `worker-lost`, `soft-time-limit`, `revoked`, ...")
    category: str = Field(description="whom it concerns: `task`, `worker`, `broker` or `caller`")
    type: str | None = Field(description="the exception's class")
    message: str | None = Field(description="what it said")
    traceback: str | None = Field(description="its end, where it is long")
    ended_by: str | None = Field(description="the node, sweep or client that told of the end")
    task_name: str | None
    queue: str | None
    args: Any = Field(description="the stored form of the arguments, shortened where they are long")
    kwargs: Any = Field(description="see `args`")
    attempts: int


class StatusDocument(BaseModel):
    """What is known of a task."""

    task_id: str
    name: str | None
    status: Status
    ready: bool
    successful: bool
    progress: dict[str, Any] | None = Field(
        description="`state` and `at`, and of `current`, `total`, `percent` and `message` what makes sense"
    )
    error: ErrorDocument | None
    worker: str | None
    attempts: int
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    queue_seconds: float | None
    run_seconds: float | None
    result_expires_at: datetime | None
    result_state: ResultState


_CATEGORIES = {
    "exception": "task",
    "rejected": "task",
    "unserialisable-result": "task",
    "time-limit": "task",
    "soft-time-limit": "task",
    "worker-lost": "worker",
    "lost-too-often": "worker",
    "unregistered": "worker",
    "internal-error": "worker",
    "cancelled": "worker",
    "redelivery-overdue": "broker",
    "lost": "broker",
    "not-published": "broker",
    "revoked": "caller",
    "expired": "caller",
}

_SELECT = """
    SELECT r.*, s.expires_at, s.left_out, s.size_bytes, s.sha256, s.body_id,
           s.task_id IS NOT NULL AS stored, s.body IS NOT NULL AS in_row,
           coalesce(s.expires_at < clock_timestamp(), false) AS expired
    FROM celery_task_registry r LEFT JOIN celery_task_result s USING (task_id)
"""
_ONE = text(f"{_SELECT} WHERE r.task_id = :task_id AND (r.owner = :owner OR CAST(:owner AS text) IS NULL)")


_SEVERAL = text(f"{_SELECT} WHERE r.task_id = ANY(:task_ids)")
_KNOWN_AT = "coalesce(r.queued_at, r.started_at, r.completed_at)"
_MANY = text(f"""
    {_SELECT.replace("r.*,", f"r.*, {_KNOWN_AT} AS known_at,")}
    WHERE {_KNOWN_AT} IS NOT NULL
      AND (CAST(:owner AS text) IS NULL OR r.owner = :owner)
      AND (CAST(:status AS text[]) IS NULL OR r.status = ANY(:status))
      AND (CAST(:name AS text) IS NULL OR r.task_name = :name)
      AND (CAST(:at AS timestamptz) IS NULL OR ({_KNOWN_AT}, r.task_id) < (:at, :task_id))
    ORDER BY {_KNOWN_AT} DESC, r.task_id DESC LIMIT :limit
""")


def read_status(
    connection: Connection, task_id: str, *, owner: str | None = None, secrets: Collection[str] = ()
) -> StatusDocument | None:
    """A task's status; None where there is no such task, or, with `owner`, none of theirs.

    `secrets` are the names behind which a value is masked in whatever text an error comes with.
    """
    row = connection.execute(_ONE, {"task_id": task_id, "owner": owner}).one_or_none()
    return None if row is None else _document(row, secrets)


@dataclass(frozen=True)
class Sighting:
    """A task as it was at one moment: its status, whose it is, and the number of that state, which only grows."""

    status: StatusDocument
    owner: str | None
    version: int


def read_sightings(connection: Connection, task_ids: Collection[str], secrets: Collection[str]) -> dict[str, Sighting]:
    """Those of these tasks that are known."""
    rows = connection.execute(_SEVERAL, {"task_ids": list(task_ids)})
    return {row.task_id: Sighting(_document(row, secrets), row.owner, row.version) for row in rows}


def list_statuses(
    connection: Connection,
    *,
    owner: str | None = None,
    status: Collection[str] = (),
    name: str | None = None,
    after: Place | None = None,
    limit: int = 50,
    secrets: Collection[str] = (),
) -> list[tuple[Place, StatusDocument]]:
    """The newest tasks first, by the moment they were first heard of, which stays while they finish; `after` a place.

    Each comes with its own place in that order.
    """
    values = {
        "owner": owner,
        "status": sorted(status) or None,
        "name": name,
        "at": after.at if after else None,
        "task_id": after.task_id if after else None,
        "limit": limit,
    }
    rows = connection.execute(_MANY, values)
    return [(Place(row.known_at, row.task_id), _document(row, secrets)) for row in rows]


def _document(row: Row[Any], secrets: Collection[str]) -> StatusDocument:
    status = Status(row.status)
    return StatusDocument(
        task_id=row.task_id,
        name=row.task_name,
        status=status,
        ready=status in ENDED,
        successful=status is Status.SUCCESS,
        progress=_progress(row),
        error=_error(row, status, secrets),
        worker=row.worker_id,
        attempts=row.attempts,
        queued_at=row.queued_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        queue_seconds=seconds_between(row.queued_at, row.started_at),
        run_seconds=seconds_between(row.started_at, row.completed_at),
        result_expires_at=row.expires_at,
        result_state=_result_state(row, status),
    )


def _progress(row: Row[Any]) -> dict[str, Any] | None:
    """What was said last, in the form in which it is shown, with the moment at which the database heard of it."""
    if not isinstance(row.progress, dict):
        return None
    form, _ = shown(row.progress.get("meta"))
    return {
        "state": row.progress.get("state"),
        **form,
        "at": row.progressed_at.isoformat() if row.progressed_at else None,
    }


def _result_state(row: Row[Any], status: Status) -> ResultState:
    if status not in ENDED:
        return ResultState.PENDING
    if status is not Status.SUCCESS:
        return ResultState.NONE
    if not row.stored:
        return ResultState.NOT_KEPT
    if row.expired or not (row.in_row or row.body_id):
        return ResultState.EXPIRED
    return ResultState.PARTIAL if row.left_out else ResultState.AVAILABLE


def _error(row: Row[Any], status: Status, secrets: Collection[str]) -> ErrorDocument | None:
    if status not in {Status.FAILURE, Status.REVOKED}:
        return None
    code = row.reason or ("revoked" if status is Status.REVOKED else "exception")
    return ErrorDocument(
        code=code,
        category=_CATEGORIES.get(code, "task"),
        type=row.error_type,
        message=row.error_message,
        traceback=row.error_traceback,
        ended_by=row.ended_by,
        task_name=row.task_name,
        queue=row.queue,
        args=masked_throughout(row.args, secrets),
        kwargs=masked_throughout(row.kwargs, secrets),
        attempts=row.attempts,
    )


def seconds_between(begin: datetime | None, end: datetime | None) -> float | None:
    """How long it took, never less than nothing; None as long as one of the two is not known."""
    return max(0.0, (end - begin).total_seconds()) if begin and end else None
