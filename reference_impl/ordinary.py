"""The ordinary course of a task: published, started for the first time, ended by who started it; one statement each.

Almost every report finds its record as it would expect to. So the decision on such a record is taken first, and one
statement writes all that follows from it if the record stands so; to look first takes five times the round trips, and a
start two commits. Where the record stands otherwise, or somebody holds it, only the attempt of a start is written, and
the registry looks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, Table, TextClause, bindparam, func, select, text, update

from reference_impl.columns import columns, entry
from reference_impl.lifecycle import (
    Failed,
    Ignored,
    Owner,
    Published,
    Standing,
    Started,
    Status,
    Succeeded,
    Transition,
    decide,
)
from reference_impl.models import Attempt, AuditEntry, StoredResult, TaskRecord
from reference_impl.reports import Outcome, Report
from reference_impl.stored_results import PUT, put_values

_TASKS = cast("Table", TaskRecord.__table__)
_ATTEMPTS = cast("Table", Attempt.__table__)
_AUDIT = cast("Table", AuditEntry.__table__)
_RESULTS = cast("Table", StoredResult.__table__)
_TYPES = {column.name: column.type for table in (_RESULTS, _AUDIT, _ATTEMPTS, _TASKS) for column in table.c}

_STALL = timedelta(seconds=0.1)
_AT = datetime.max.replace(tzinfo=UTC)
"""Stands for the time of the event by the database's clock, which only the statement itself knows."""


@dataclass(frozen=True)
class _Expected:
    """What a report expects of its record, as far as it matters for what changes: a value, whichever, or none."""

    task_name: str = "known"
    owner: str = "known"
    args: str = "known"
    attempts: int = 0
    attempt_id: None = None
    queued_at: None = None
    started_at: None = None
    completed_at: None = None


def take(connection: Connection, report: Report) -> Outcome | None:
    """Write an ordinary report; None where it is no such report, or its record does not stand as expected.

    The connection has to commit each statement by itself. Once a start was looked at, its attempt is there in any case:
    if this process dies before the record's turn, that still names the task. Raises SQLAlchemy's errors.
    """
    match report.event:
        case Published():
            return _publish(connection, report)
        case Started(owner=owner):
            return _start(connection, report, owner)
        case Succeeded(owner=owner) | Ignored(owner=owner) | Failed(owner=owner):
            return _end(connection, report, owner)
        case _:
            return None


_PUBLISH = text("""
    WITH published AS (
        INSERT INTO celery_task_registry
            (task_id, task_name, owner, status, detail, args, kwargs, queue, eta, queued_at)
        VALUES
            (:task_id, :task_name, :owner, 'PENDING', 'queued', :args, :kwargs, :queue, :eta, clock_timestamp() - :age)
        ON CONFLICT DO NOTHING RETURNING task_id, queued_at
    )
    INSERT INTO celery_task_audit (task_id, to_status, refused, at, who, why)
    SELECT task_id, 'PENDING', false, queued_at, :who, :why FROM published
    RETURNING entry_id
""").bindparams(bindparam("args", type_=_TYPES["args"]), bindparam("kwargs", type_=_TYPES["kwargs"]))

_ENTER = """
    INSERT INTO celery_task_audit (task_id, attempt_id, from_status, to_status, refused, at, who, why)
    SELECT task_id, :attempt_id, :from_status, :to_status, false, at, :who, :why FROM moved
    RETURNING entry_id
"""

_START = """
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() - CAST(:age AS interval) AS at),
    attempt AS (
        INSERT INTO celery_task_attempt (attempt_id, task_id, task_name, incarnation_id, worker_id, worker_pid,
                                         acks_late, redelivered, waiters, started_at)
        SELECT :attempt_id, :task_id, :task_name, :incarnation_id, :worker_id, :worker_pid,
               :acks_late, :redelivered, :waiters, at
        FROM clock
        ON CONFLICT DO NOTHING
    ), found AS (
        SELECT task_id, at FROM celery_task_registry, clock
        WHERE task_id = :task_id AND status = 'PENDING' AND attempts = 0 AND attempt_id IS NULL
          AND started_at IS NULL AND completed_at IS NULL AND queued_at <= at
          AND task_name IS NOT NULL AND args IS NOT NULL AND (owner IS NOT NULL OR :without_owner)
        FOR UPDATE OF celery_task_registry SKIP LOCKED
    ), moved AS (
        UPDATE celery_task_registry r SET {columns} FROM found WHERE r.task_id = found.task_id
        RETURNING r.task_id, found.at
    )
"""

_END = """
    WITH clock AS MATERIALIZED (SELECT clock_timestamp() - CAST(:age AS interval) AS at),
    found AS (
        SELECT task_id, at FROM celery_task_registry, clock
        WHERE task_id = :task_id AND status = 'STARTED' AND attempt_id = :attempt_id
          AND started_at <= at AND coalesce(queued_at <= at, true) AND completed_at IS NULL
          AND task_name IS NOT NULL AND agent IS NULL
        FOR UPDATE OF celery_task_registry SKIP LOCKED
    ), moved AS (
        UPDATE celery_task_registry r SET {columns} FROM found WHERE r.task_id = found.task_id
        RETURNING r.task_id, found.at
    ), attempt AS (
        UPDATE celery_task_attempt a SET ended_at = moved.at FROM moved
        WHERE a.attempt_id = :attempt_id AND a.ended_at IS NULL
    )
"""

_KEEP = f", ended AS (SELECT task_id, at FROM moved), kept AS ({PUT})"  # noqa: S608 - a constant


def _publish(connection: Connection, report: Report) -> Outcome | None:
    args, kwargs = report.arguments() if report.arguments else (None, None)
    sent = report.age
    values = {
        "task_id": report.task_id,
        "task_name": report.task_name,
        "owner": report.owner,
        "args": args,
        "kwargs": kwargs,
        "queue": report.queue,
        "eta": report.eta,
        "age": sent,
        "who": report.who,
        "why": report.why,
    }
    entry_id = connection.execute(_PUBLISH, values).scalar_one_or_none()
    if entry_id is None:
        return None
    _mend_times(connection, report, sent, entry_id, ["queued_at"])
    return Outcome(Transition(Status.PENDING), None)


def _start(connection: Connection, report: Report, owner: Owner) -> Outcome | None:
    attempt = {
        "task_name": report.task_name,
        "incarnation_id": owner.incarnation_id,
        "worker_id": report.worker_id,
        "worker_pid": report.worker_pid,
        "acks_late": report.acks_late,
        "redelivered": report.redelivered,
        "waiters": report.waiters,
        "without_owner": report.owner is None,
    }
    return _write(connection, report, _START, Standing(Status.PENDING, Owner(None, None)), attempt)


def _end(connection: Connection, report: Report, owner: Owner) -> Outcome | None:
    if owner.attempt_id is None or (report.kept is not None and report.kept.file is not None):
        return None
    kept = put_values(report.kept) if report.kept is not None else {}
    return _write(connection, report, _END, Standing(Status.STARTED, owner), kept)


def _write(
    connection: Connection, report: Report, statement: str, standing: Standing, more: dict[str, Any]
) -> Outcome | None:
    decision = decide(standing, report.event)
    if not isinstance(decision, Transition):
        return None
    changed, remark = columns(report, decision, _Expected(), _AT)
    told = entry(report, decision, standing.status, _AT, remark)
    timed = frozenset(name for name, value in changed.items() if value is _AT)
    sent = report.age
    made = _statement(statement, tuple(changed), timed, kept=report.kept is not None)
    values = {f"new_{name}": value for name, value in changed.items() if name not in timed}
    entry_id = connection.execute(made, told | more | values | {"age": sent}).scalar_one_or_none()
    if entry_id is None:
        return None
    _mend_times(connection, report, sent, entry_id, timed)
    return Outcome(decision, standing.status)


@functools.cache
def _statement(statement: str, changed: tuple[str, ...], timed: frozenset[str], *, kept: bool) -> TextClause:
    """Made once for each set of columns: to make a statement costs more than to execute it."""
    assignments = (f"{name} = {'found.at' if name in timed else f':new_{name}'}" for name in changed)
    whole = statement.format(columns=", ".join(assignments))
    whole += _KEEP if kept else ""
    whole += _ENTER
    names = set(re.findall(r":(\w+)", whole))
    typed = {name: _TYPES.get(name.removeprefix("new_")) for name in names}
    return text(whole).bindparams(*(bindparam(name, type_=kind) for name, kind in typed.items() if kind is not None))


def _mend_times(connection: Connection, report: Report, sent: timedelta, entry_id: int, timed: Collection[str]) -> None:
    """Whoever stood still meanwhile, the database's clock was read after it, or long before the answer came."""
    if report.age - sent <= _STALL:
        return
    at = connection.execute(select(func.clock_timestamp())).scalar_one() - report.age
    connection.execute(update(_TASKS).where(_TASKS.c.task_id == report.task_id).values(dict.fromkeys(timed, at)))
    connection.execute(update(_AUDIT).where(_AUDIT.c.entry_id == entry_id).values(at=at))
