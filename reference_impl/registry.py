"""The registry in Postgres: what happened to a task goes in, its record and its audit trail come out.

Nothing here waits or retries; who may wait is the recorder's and the sweep's business. Times are the
database's: a report tells how long ago its event was, on the reporter's monotonic clock, and never what the
reporter's wall clock said.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

import psutil
from sqlalchemy import Connection, Engine, Interval, Row, Table, bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from reference_impl.agent_rows import AgentChange, Step, abandon, take_word
from reference_impl.lifecycle import (
    Cancelled,
    Decision,
    DeliveryLost,
    Event,
    Failed,
    HandedBack,
    Ignored,
    NotPublished,
    Owner,
    Progressed,
    Published,
    Received,
    RedeliveryOverdue,
    Refusal,
    Requeued,
    Retrying,
    Revoked,
    Standing,
    Started,
    Status,
    Succeeded,
    Transition,
    Unchanged,
    WorkerLost,
    attempt_of,
    decide,
)
from reference_impl.messages import keep
from reference_impl.models import Attempt, AuditEntry, TaskRecord
from reference_impl.reports import Outcome, Report
from reference_impl.stored_results import discard_file, put
from reference_impl.transitions import tell

AWAITING_REDELIVERY = "awaiting redelivery"
NOT_PUBLISHED = "not-published"
LOST = "lost"

_STALL = timedelta(seconds=0.1)


class Registry:
    """Applies reports, one transaction each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_statement = engine.execution_options(isolation_level="AUTOCOMMIT")

    def apply(self, report: Report) -> Outcome:
        """Take or refuse the report. Raises SQLAlchemy's errors; then nothing of the record changed."""
        if isinstance(report.event, Published):
            with self._by_statement.connect() as connection:
                inserted = _insert_published(connection, report)
            if inserted:
                outcome = Outcome(Transition(Status.PENDING), None)
                tell(report, outcome)
                return outcome
        if isinstance(report.event, Started):
            # Committed on its own: if this process dies before the record's turn, the attempt still names it.
            with self._by_statement.connect() as connection:
                _open_attempt(connection, report, report.event.owner)
        with self._engine.begin() as connection:
            if report.message is not None:
                keep(connection, report.task_id, report.message)
            outcome = apply_within(connection, report)
        tell(report, outcome)
        if report.kept is not None:
            discard_file(report.kept)
        return outcome


def apply_within(connection: Connection, report: Report) -> Outcome:
    """Take or refuse the report as part of the caller's transaction; who commits it has the log `tell` of it."""
    if isinstance(report.event, Received):
        return Outcome(Unchanged(), None)  # that a worker has it is not kept, only what it has
    age_at_least = report.age
    row = connection.execute(_LOCKED, {"sought": report.task_id}).one_or_none()
    standing = None
    fate = _Fate.UNKNOWN
    if row is not None:
        fate = _fate_of_owner(connection, report, row)
        standing = Standing(
            Status(row.status),
            Owner(row.incarnation_id, row.attempt_id),
            owner_lives=fate is _Fate.ALIVE,
            never_sent=row.status == Status.FAILURE and row.reason in {NOT_PUBLISHED, LOST},
            publication_missing=row.queued_at is None,
            overtaken=row.started_at is not None and row.database_now - age_at_least < row.started_at,
        )
    elif isinstance(refusal := decide(None, report.event), Refusal):
        return Outcome(refusal, None)
    else:
        blank = upsert(_TASKS).values(task_id=report.task_id, status=Status.PENDING).on_conflict_do_nothing()
        connection.execute(blank)
        row = connection.execute(_LOCKED, {"sought": report.task_id}).one()
    decision = decide(standing, report.event)
    at = row.database_now - report.age
    values, remark = _columns(report, decision, row, at)
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
""").bindparams(bindparam("args", type_=_TASKS.c.args.type), bindparam("kwargs", type_=_TASKS.c.kwargs.type))
_UPDATE = update(_TASKS).where(_TASKS.c.task_id == bindparam("sought"))
_ENTER = insert(_AUDIT)
_BEGIN_ATTEMPT = (
    upsert(_ATTEMPTS)
    .values(
        {column.name: bindparam(column.name) for column in _ATTEMPTS.c if column.name not in {"lost", "ended_at"}}
        | {"started_at": func.clock_timestamp() - bindparam("age", type_=Interval)}
    )
    .on_conflict_do_nothing()
)
_END_ATTEMPT = (
    update(_ATTEMPTS)
    .where(_ATTEMPTS.c.attempt_id == bindparam("sought"), _ATTEMPTS.c.ended_at.is_(None))
    .values(ended_at=bindparam("at"))
)
_LOCKED = (
    select(_TASKS, func.clock_timestamp().label("database_now"))
    .where(_TASKS.c.task_id == bindparam("sought"))
    .with_for_update()
)


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


def _insert_published(connection: Connection, report: Report) -> bool:
    """The common case of a publication: record and audit entry in one statement, unless there is a record already."""
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
        return False
    if report.age - sent > _STALL:
        # Whoever stood still meanwhile, the database's clock was read after it, or long before the answer came.
        queued_at = connection.execute(select(func.clock_timestamp())).scalar_one() - report.age
        connection.execute(_UPDATE, {"sought": report.task_id, "queued_at": queued_at})
        connection.execute(update(_AUDIT).where(_AUDIT.c.entry_id == entry_id).values(at=queued_at))
    return True


def _columns(report: Report, decision: Decision, row: Row[Any], at: datetime) -> tuple[dict[str, Any], str | None]:
    """The columns that change, and a remark when a time had to be clamped to keep their order."""
    match decision:
        case Refusal():
            return {}, None
        case Unchanged():
            return _completed(report, row, at)
        case Transition(to=to):
            values = {"status": to, "detail": report.reason, "reason": report.reason} | _missing(report, row)
            if row.completed_at is not None:
                values |= dict.fromkeys(("completed_at", "error_type", "error_message", "error_traceback", "ended_by"))
            match to:
                case Status.PENDING:
                    return values | _queued_again(report, at), None
                case Status.STARTED:
                    started_at, remark = _not_before(at, "started_at", queued_at=row.queued_at)
                    return values | _start(report, row, started_at), remark
                case Status.RETRY:
                    awaiting = isinstance(report.event, WorkerLost | Cancelled)
                    return values | {
                        "detail": AWAITING_REDELIVERY if awaiting else "waiting for its retry",
                        "eta": at + timedelta(seconds=report.awaits_s) if report.awaits_s else report.eta,
                        "error_type": report.error_type,
                        "error_message": report.error_message,
                    }, None
                case Status.SUCCESS | Status.FAILURE | Status.REVOKED:
                    known = {"queued_at": row.queued_at, "started_at": row.started_at}
                    completed_at, remark = _not_before(at, "completed_at", **known)
                    return values | _end(report, completed_at), remark


def _completed(report: Report, row: Row[Any], at: datetime) -> tuple[dict[str, Any], str | None]:
    """What is known now besides the status, which stays."""
    match report.event:
        case Published():
            return _late_publication(report, row, at)
        case Progressed() if report.agent is not None:
            return {"agent": report.agent.name, "progressed_at": at}, None
        case Progressed():
            return {"progress": report.progress, "progressed_at": at}, None
        case _:
            return {"error_type": report.error_type, "error_message": report.error_message}, None


def _queued_again(report: Report, at: datetime) -> dict[str, Any]:
    match report.event:
        case HandedBack():
            return {"detail": "handed back"}
        case Requeued(by_hand=by_hand):
            return {"detail": "requeued"} | ({"queued_at": at} if by_hand else {})
        case _:
            return {"detail": "queued", "queued_at": at, "eta": report.eta}


def _late_publication(report: Report, row: Row[Any], at: datetime) -> tuple[dict[str, Any], str | None]:
    """A publication that is written after the worker's own reports fills in what only it knows."""
    if row.queued_at is not None:
        return {}, None
    queued_at = min(at, row.started_at) if row.started_at else at
    return _missing(report, row) | {"queued_at": queued_at}, None


def _missing(report: Report, row: Row[Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"queue": report.queue} if report.queue else {}
    if row.task_name is None and report.task_name is not None:
        values["task_name"] = report.task_name
    if row.owner is None and report.owner is not None:
        values["owner"] = report.owner
    if row.args is None and report.arguments is not None:
        values["args"], values["kwargs"] = report.arguments()
    return values


def _start(report: Report, row: Row[Any], started_at: datetime) -> dict[str, Any]:
    assert isinstance(report.event, Started)
    return {
        "worker_id": report.worker_id,
        "worker_pid": report.worker_pid,
        "incarnation_id": report.event.owner.incarnation_id,
        "attempt_id": report.event.owner.attempt_id,
        "attempts": row.attempts + 1,
        "eta": None,
        "started_at": started_at,
        "last_heartbeat": started_at,
        "progress": None,
        "progressed_at": None,
    }


def _end(report: Report, completed_at: datetime) -> dict[str, Any]:
    return {
        "completed_at": completed_at,
        "eta": None,
        "result": report.result,
        "error_type": report.error_type,
        "error_message": report.error_message,
        "error_traceback": report.error_traceback,
        "ended_by": report.who,
    }


def _not_before(at: datetime, name: str, **earlier: datetime | None) -> tuple[datetime, str | None]:
    floor = max((moment for moment in earlier.values() if moment is not None), default=at)
    if at >= floor:
        return at, None
    return floor, f"{name} was {at.isoformat()}, before {' and '.join(earlier)}; moved to {floor.isoformat()}"


def _audit(
    connection: Connection,
    report: Report,
    decision: Transition | Refusal,
    before: Status | None,
    at: datetime,
    remark: str | None,
) -> None:
    refused = isinstance(decision, Refusal)
    said = decision.why if isinstance(decision, Refusal) else decision.note
    connection.execute(
        _ENTER,
        {
            "task_id": report.task_id,
            "attempt_id": attempt_of(report.event),
            "from_status": before,
            "to_status": _wanted(report.event) if isinstance(decision, Refusal) else decision.to,
            "refused": refused,
            "at": at,
            "who": report.who,
            "why": "; ".join(part for part in (report.why, said, remark) if part),
        },
    )


def _wanted(event: Event) -> Status:
    match event:
        case Published() | Received() | HandedBack() | Requeued():
            return Status.PENDING
        case Started() | Progressed():
            return Status.STARTED
        case Succeeded() | Ignored():
            return Status.SUCCESS
        case Failed() | NotPublished() | DeliveryLost():
            return Status.FAILURE
        case Retrying() | Cancelled(redeliver=True) | WorkerLost(redeliver=True):
            return Status.RETRY
        case Revoked() | Cancelled() | WorkerLost() | RedeliveryOverdue():
            return Status.REVOKED


def _open_attempt(connection: Connection, report: Report, owner: Owner) -> None:
    values = {
        "attempt_id": owner.attempt_id,
        "task_id": report.task_id,
        "task_name": report.task_name,
        "incarnation_id": owner.incarnation_id,
        "worker_id": report.worker_id,
        "worker_pid": report.worker_pid,
        "acks_late": report.acks_late,
        "redelivered": report.redelivered,
        "waiters": report.waiters,
        "age": report.age,
    }
    connection.execute(_BEGIN_ATTEMPT, values)


def _close_attempt(connection: Connection, attempt_id: UUID | None, at: datetime) -> None:
    """An execution is over when it says so, taken or refused."""
    connection.execute(_END_ATTEMPT, {"sought": attempt_id, "at": at})
