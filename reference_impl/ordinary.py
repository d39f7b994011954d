"""The ordinary course of a task: published, started for the first time, ended by who started it; one statement each.

Almost every report finds its record as it would expect to. So the decision on such a record is taken first, and one
statement writes all that follows from it if the record stands so; to look first takes five times the round trips, and a
start two commits. Where the record stands otherwise, or somebody holds it, only the attempt of a start is written, and
the registry looks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.dialects.postgresql import JSONB

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
    attempt_of,
    decide,
)
from reference_impl.models import Attempt, AuditEntry, StoredResult, TaskRecord
from reference_impl.reports import Outcome, Report
from reference_impl.stored_results import PUT, put_values

STALL = timedelta(seconds=0.1)
"""An answer that takes longer tells of a process or a database that stood still."""

_TASKS = cast("Table", TaskRecord.__table__)
_ATTEMPTS = cast("Table", Attempt.__table__)
_AUDIT = cast("Table", AuditEntry.__table__)
_JSON = frozenset(
    column.name
    for model in (TaskRecord, Attempt, StoredResult)
    for column in model.__table__.columns
    if isinstance(column.type, JSONB)
)

_AT = datetime.max.replace(tzinfo=UTC)
"""Stands for the time of the event by the database's clock, which only the statement itself knows."""


@dataclass(frozen=True)
class Statement:
    """SQL with a name in `%(name)s` for each value, as psycopg has it; made once for each set of columns."""

    text: str

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Those of its values, each once."""
        return tuple(dict.fromkeys(re.findall(r"%\((\w+)\)s", self.text)))

    @functools.cached_property
    def numbered(self) -> str:
        """The same with `$1` for the first of its values, as Postgres has it."""
        numbers = {name: number for number, name in enumerate(self.names, start=1)}
        return re.sub(r"%\((\w+)\)s", lambda found: f"${numbers[found[1]]}", self.text)


@dataclass(frozen=True)
class Write:
    """What an ordinary report writes, and what has come of it if the statement gives an entry's number.

    The database has to commit the statement by itself. Once a start was told, its attempt is there in any case: if this
    process dies before the record's turn, that still names the task.
    """

    statement: Statement
    values: Mapping[str, Any]
    outcome: Outcome
    sent: timedelta

    def age(self, report: Report) -> timedelta:
        """How long ago it was made of the report."""
        return report.age - self.sent


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


def write_of(report: Report) -> Write | None:
    """What writes it, if it is an ordinary report."""
    match report.event:
        case Published():
            return _publish(report)
        case Started(owner=owner):
            return _start(report, owner)
        case Succeeded(owner=owner) | Ignored(owner=owner) | Failed(owner=owner):
            return _end(report, owner)
        case _:
            return None


def take(connection: Connection, report: Report) -> Outcome | None:
    """Write an ordinary report; None where it is no such report, or its record does not stand as expected.

    The connection has to commit each statement by itself. Raises SQLAlchemy's errors.
    """
    write = write_of(report)
    if write is None:
        return None
    entry_id = connection.exec_driver_sql(write.statement.text, dict(write.values)).scalar_one_or_none()
    if entry_id is None:
        return None
    mend_times(connection, report, write, entry_id)
    return write.outcome


def mend_times(connection: Connection, report: Report, write: Write, entry_id: int) -> None:
    """Where somebody stood still meanwhile, set the event's times by its age, as far as nothing later stands there.

    The database's clock was read after the event's age was, or long before the answer came. Others mend their times a
    little otherwise, so the order is kept: nothing starts before it is published, or ends before it starts.
    """
    if write.age(report) <= STALL:
        return
    age = report.age
    at = connection.execute(select(func.clock_timestamp())).scalar_one() - age
    record, attempt = _TASKS.c, _ATTEMPTS.c
    told = select(_AUDIT.c.at).where(_AUDIT.c.entry_id == entry_id).scalar_subquery()
    whose = [record.task_id == report.task_id]
    if (attempt_id := attempt_of(report.event)) is not None:
        whose.append(record.attempt_id == attempt_id)
    mended: dict[str, dict[str, Any]]
    execution: dict[str, Any] = {}
    match report.event:
        case Published():
            mended = {"queued_at": {"queued_at": func.least(record.queued_at, at)}}
        case Started():
            started = {"started_at": at, "queued_at": func.least(record.queued_at, at)}
            mended = {"started_at": started, "last_heartbeat": {"last_heartbeat": at}}
            execution = {"started_at": at}
        case _:
            mended = {"completed_at": {"completed_at": func.greatest(at, record.started_at, record.queued_at)}}
            execution = {"ended_at": func.greatest(at, attempt.started_at)}
    for name, values in mended.items():
        connection.execute(update(_TASKS).where(*whose, record[name] <= told).values(values))
    for name, value in execution.items():
        ours = (attempt.attempt_id == attempt_id, attempt[name] <= told)
        connection.execute(update(_ATTEMPTS).where(*ours).values({name: value}))
    connection.execute(update(_AUDIT).where(_AUDIT.c.entry_id == entry_id).values(at=at))


_MOMENT = "(statement_timestamp() - CAST(%(age)s AS interval))"
"""The time of the event: the database's clock when it got the statement, less the event's age when that was sent."""

_PUBLISH = """
    WITH published AS (
        INSERT INTO celery_task_registry
            (task_id, task_name, owner, status, detail, args, kwargs, queue, eta, queued_at)
        VALUES
            (%(task_id)s, %(task_name)s, %(owner)s, 'PENDING', 'queued', %(args)s, %(kwargs)s, %(queue)s, %(eta)s,
             {at})
        ON CONFLICT DO NOTHING RETURNING task_id, queued_at
    )
    INSERT INTO celery_task_audit (task_id, to_status, refused, at, who, why)
    SELECT task_id, 'PENDING', false, queued_at, %(who)s, %(why)s FROM published
    RETURNING entry_id
"""

_START = """
    WITH attempt AS (
        INSERT INTO celery_task_attempt (attempt_id, task_id, task_name, incarnation_id, worker_id, worker_pid,
                                         acks_late, redelivered, waiters, started_at)
        VALUES (%(attempt_id)s, %(task_id)s, %(task_name)s, %(incarnation_id)s, %(worker_id)s, %(worker_pid)s,
                %(acks_late)s, %(redelivered)s, %(waiters)s, {at})
        ON CONFLICT DO NOTHING
    ), found AS (
        SELECT task_id FROM celery_task_registry
        WHERE task_id = %(task_id)s AND status = 'PENDING' AND attempts = 0 AND attempt_id IS NULL
          AND started_at IS NULL AND completed_at IS NULL AND queued_at <= {at}
          AND task_name IS NOT NULL AND args IS NOT NULL AND (owner IS NOT NULL OR %(without_owner)s)
        FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE celery_task_registry r SET {columns} FROM found WHERE r.task_id = found.task_id
        RETURNING r.task_id, {at} AS at
    )
    INSERT INTO celery_task_audit (task_id, attempt_id, from_status, to_status, refused, at, who, why)
    SELECT task_id, %(attempt_id)s, %(from_status)s, %(to_status)s, false, at, %(who)s, %(why)s FROM moved
    RETURNING entry_id
"""

_END = """
    WITH found AS (
        SELECT task_id FROM celery_task_registry
        WHERE task_id = %(task_id)s AND status = 'STARTED' AND attempt_id = %(attempt_id)s
          AND started_at <= {at} AND coalesce(queued_at <= {at}, true) AND completed_at IS NULL
          AND task_name IS NOT NULL AND agent IS NULL
        FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE celery_task_registry r SET {columns} FROM found WHERE r.task_id = found.task_id
        RETURNING r.task_id, {at} AS at
    ), attempt AS (
        UPDATE celery_task_attempt a SET ended_at = moved.at FROM moved
        WHERE a.attempt_id = %(attempt_id)s AND a.ended_at IS NULL
    ){kept}
    INSERT INTO celery_task_audit (task_id, attempt_id, from_status, to_status, refused, at, who, why)
    SELECT task_id, %(attempt_id)s, %(from_status)s, %(to_status)s, false, at, %(who)s, %(why)s FROM moved
    RETURNING entry_id
"""

_KEEP = f", ended AS (SELECT task_id, at FROM moved), kept AS ({PUT})"  # noqa: S608 - a constant


def _publish(report: Report) -> Write:
    args, kwargs = report.arguments() if report.arguments else (None, None)
    sent = report.age
    values = {
        "task_id": report.task_id,
        "task_name": report.task_name,
        "owner": report.owner,
        "args": _json(args),
        "kwargs": _json(kwargs),
        "queue": report.queue,
        "eta": report.eta,
        "age": sent,
        "who": report.who,
        "why": report.why,
    }
    made = _statement(_PUBLISH)
    return Write(made, values, Outcome(Transition(Status.PENDING), None), sent)


def _start(report: Report, owner: Owner) -> Write | None:
    attempt = {
        "task_name": report.task_name,
        "incarnation_id": owner.incarnation_id,
        "worker_id": report.worker_id,
        "worker_pid": report.worker_pid,
        "acks_late": report.acks_late,
        "redelivered": report.redelivered,
        "waiters": _json(report.waiters),
        "without_owner": report.owner is None,
    }
    return _move(report, _START, Standing(Status.PENDING, Owner(None, None)), attempt)


def _end(report: Report, owner: Owner) -> Write | None:
    if owner.attempt_id is None or (report.kept is not None and report.kept.file is not None):
        return None
    kept = put_values(report.kept) if report.kept is not None else {}
    return _move(report, _END, Standing(Status.STARTED, owner), kept)


def _move(report: Report, statement: str, standing: Standing, more: dict[str, Any]) -> Write | None:
    decision = decide(standing, report.event)
    if not isinstance(decision, Transition):
        return None
    changed, remark = columns(report, decision, _Expected(), _AT)
    told = entry(report, decision, standing.status, _AT, remark)
    timed = frozenset(name for name, value in changed.items() if value is _AT)
    made = _statement(statement, tuple(changed), timed, kept=report.kept is not None)
    values = {f"new_{name}": _valued(name, value) for name, value in changed.items() if name not in timed}
    sent = report.age
    return Write(made, told | more | values | {"age": sent}, Outcome(decision, standing.status), sent)


@functools.cache
def _statement(
    text: str, changed: tuple[str, ...] = (), timed: frozenset[str] = frozenset(), *, kept: bool = False
) -> Statement:
    assignments = (f"{name} = {_MOMENT if name in timed else f'%(new_{name})s'}" for name in changed)
    text = text.replace("{columns}", ", ".join(assignments)).replace("{kept}", _KEEP if kept else "")
    return Statement(text.replace("{at}", _MOMENT))


def _valued(name: str, value: Any) -> Any:
    return _json(value) if name in _JSON else value


def _json(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)
