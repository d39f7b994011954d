"""The registry in Postgres: what happened to a task goes in, its record and its audit trail come out.

Nothing here waits or retries; who may wait is the recorder's and the sweep's business. Times are the
database's: a report tells how long ago its event was, on the reporter's monotonic clock, and never what the
reporter's wall clock said.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

import psutil
from sqlalchemy import Connection, Engine, Row, Table, bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from reference_impl.agent_rows import AgentChange, Step, abandon, take_word
from reference_impl.columns import columns, entry
from reference_impl.lifecycle import (
    Decision,
    Owner,
    Progressed,
    Published,
    Received,
    Refusal,
    Requeued,
    Standing,
    Started,
    Status,
    Transition,
    Unchanged,
    WorkerLost,
    attempt_of,
    decide,
)
from reference_impl.messages import keep
from reference_impl.models import Attempt, AuditEntry, TaskRecord
from reference_impl.ordinary import STALL, Write, mend_times, take
from reference_impl.reports import Outcome, Report
from reference_impl.stored_results import discard_file, put
from reference_impl.transitions import tell

NOT_PUBLISHED = "not-published"
LOST = "lost"


class Registry:
    """Applies reports, one transaction each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_statement = engine.execution_options(isolation_level="AUTOCOMMIT")

    def apply(self, report: Report) -> Outcome:
        """Take or refuse the report. Raises SQLAlchemy's errors; then nothing of the record changed."""
        with self._by_statement.connect() as connection:
            outcome = take(connection, report)
        if outcome is None:
            with self._engine.begin() as connection:
                if report.message is not None:
                    keep(connection, report.task_id, report.message)
                outcome = apply_within(connection, report)
        tell(report, outcome)
        if report.kept is not None:
            discard_file(report.kept)
        return outcome

    def mend_times(self, report: Report, write: Write, entry_id: int) -> None:
        """Look after the times of an ordinary report that was sent by other ways. Raises SQLAlchemy's errors."""
        with self._engine.begin() as connection:
            mend_times(connection, report, write, entry_id)

    def is_published(self, task_id: str) -> bool:
        """Whether the task has a record, and not one of a message that is not there. Raises SQLAlchemy's errors."""
        with self._engine.begin() as connection:
            row = connection.execute(_STANDS, {"sought": task_id}).one_or_none()
        return row is not None and not _never_sent(row)


def apply_within(connection: Connection, report: Report) -> Outcome:
    """Take or refuse the report as part of the caller's transaction; who commits it has the log `tell` of it."""
    if isinstance(report.event, Received):
        return Outcome(Unchanged(), None)  # that a worker has it is not kept, only what it has
    age_at_least = report.age
    row = connection.execute(_LOCKED, {"sought": report.task_id}).one_or_none()
    standing = None
    fate = _Fate.UNKNOWN
    made = False
    if row is None:
        if isinstance(refusal := decide(None, report.event), Refusal):
            return Outcome(refusal, None)
        blank = upsert(_TASKS).values(task_id=report.task_id, status=Status.PENDING).on_conflict_do_nothing()
        # Its publication may be written at this very moment: then there is a record after all.
        made = connection.execute(blank.returning(_TASKS.c.task_id)).one_or_none() is not None
        row = connection.execute(_LOCKED, {"sought": report.task_id}).one()
    if not made:
        fate = _fate_of_owner(connection, report, row)
        standing = Standing(
            Status(row.status),
            Owner(row.incarnation_id, row.attempt_id),
            owner_lives=fate is _Fate.ALIVE,
            never_sent=_never_sent(row),
            publication_missing=row.queued_at is None,
            overtaken=row.started_at is not None and STALL < age_at_least > row.database_now - row.started_at,
        )
    decision = decide(standing, report.event)
    at = row.database_now - report.age
    values, remark = columns(report, decision, row, at)
    if values:
        connection.execute(_UPDATE, {"sought": report.task_id, **values})
    if report.kept is not None and isinstance(decision, Transition):
        put(connection, report.task_id, report.kept, values["completed_at"])
    before = standing.status if standing else None
    if not isinstance(decision, Unchanged) and not isinstance(report.event, Progressed):
        _audit(connection, report, decision, before, at, remark)
    if not isinstance(report.event, Started | Published | Progressed):
        # A worker's main process does not know the attempt that it reports the end of; the record does.
        ended = attempt_of(report.event) or (row.attempt_id if isinstance(decision, Transition) else None)
        _close_attempt(connection, ended, at)
    agents = _move_agents(connection, report, decision, row, at)
    return Outcome(decision, before, _count_losses(connection, report, row, fate), agents)


_TASKS = cast("Table", TaskRecord.__table__)
_ATTEMPTS = cast("Table", Attempt.__table__)
_AUDIT = cast("Table", AuditEntry.__table__)

# Statements are made once: building one costs a process more than executing it costs the database.
_UPDATE = update(_TASKS).where(_TASKS.c.task_id == bindparam("sought"))
_ENTER = insert(_AUDIT)
_END_ATTEMPT = (
    update(_ATTEMPTS)
    .where(_ATTEMPTS.c.attempt_id == bindparam("sought"), _ATTEMPTS.c.ended_at.is_(None))
    .values(ended_at=bindparam("at"))
)
_STANDS = select(_TASKS.c.status, _TASKS.c.reason).where(_TASKS.c.task_id == bindparam("sought"))
_LOCKED = (
    select(_TASKS, func.clock_timestamp().label("database_now"))
    .where(_TASKS.c.task_id == bindparam("sought"))
    .with_for_update()
)


def _never_sent(row: Any) -> bool:
    return bool(row.status == Status.FAILURE and row.reason in {NOT_PUBLISHED, LOST})


_LEASE_HOLDS = text("""
    SELECT renewed_at + make_interval(secs => lease_s) >= clock_timestamp()
    FROM celery_worker_incarnation WHERE incarnation_id = :incarnation_id
""")


def lease_holds(connection: Connection, incarnation_id: UUID | None) -> bool:
    """Whether this incarnation has renewed its lease in time; one that is not registered has none."""
    return bool(connection.execute(_LEASE_HOLDS, {"incarnation_id": incarnation_id}).scalar())


class _Fate(StrEnum):
    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"


def _fate_of_owner(connection: Connection, report: Report, row: Row[Any]) -> _Fate:
    """What is known, while another attempt starts, of the process that executes the one which owns the record.

    Of its own worker's children a process knows for sure; of others a lease that holds tells that they live, and
    one that has run out tells nothing by itself.
    """
    if not isinstance(report.event, Started) or row.status != Status.STARTED or row.worker_pid is None:
        return _Fate.UNKNOWN
    if row.incarnation_id != report.event.owner.incarnation_id:
        return _Fate.ALIVE if lease_holds(connection, row.incarnation_id) else _Fate.UNKNOWN
    if row.worker_pid == report.worker_pid:
        return _Fate.UNKNOWN
    return _Fate.ALIVE if psutil.pid_exists(row.worker_pid) else _Fate.GONE


def _count_losses(connection: Connection, report: Report, row: Row[Any], fate: _Fate) -> int:
    """How many attempts before this start died with their processes; the one that it takes over from may be one."""
    match report.event:
        case WorkerLost(attempt_id=attempt_id) | Requeued(attempt_id=attempt_id) if attempt_id is not None:
            lose_attempt(connection, attempt_id)
            return 0
        case Started() if row.attempts:
            if fate is _Fate.GONE:
                lose_attempt(connection, row.attempt_id)
            since = func.coalesce(row.queued_at, _ATTEMPTS.c.started_at)  # when somebody had it sent again, by hand
            lost = select(func.count()).where(
                _ATTEMPTS.c.task_id == report.task_id, _ATTEMPTS.c.lost, _ATTEMPTS.c.started_at >= since
            )
            return int(connection.execute(lost).scalar_one())
        case _:
            return 0


def _move_agents(
    connection: Connection, report: Report, decision: Decision, row: Row[Any], at: datetime
) -> tuple[AgentChange, ...]:
    """What a run says is done as long as its attempt has the record; a record that is left lets its agents go."""
    word = report.agent
    if word is not None and (isinstance(decision, Unchanged) or word.step is Step.ENDS):
        return take_word(connection, word, report.task_id, attempt_of(report.event), at)
    if row.agent is not None and isinstance(decision, Transition) and decision.to is not Status.STARTED:
        return abandon(connection, report.task_id, report.error_message, at)
    return ()


def lose_attempt(connection: Connection, attempt_id: UUID) -> None:
    """Note that an execution died with its process: it is over, and counts against its task."""
    over = {"lost": True, "ended_at": func.coalesce(_ATTEMPTS.c.ended_at, func.clock_timestamp())}
    connection.execute(update(_ATTEMPTS).where(_ATTEMPTS.c.attempt_id == attempt_id).values(over))


def _audit(
    connection: Connection,
    report: Report,
    decision: Transition | Refusal,
    before: Status | None,
    at: datetime,
    remark: str | None,
) -> None:
    connection.execute(_ENTER, entry(report, decision, before, at, remark))


def _close_attempt(connection: Connection, attempt_id: UUID | None, at: datetime) -> None:
    """An execution is over when it says so, taken or refused."""
    connection.execute(_END_ATTEMPT, {"sought": attempt_id, "at": at})
