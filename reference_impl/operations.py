"""What an operator asks for: which workers live, which tasks were lost, and to have one run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from celery import Celery
from sqlalchemy import Engine, Executable, Table, bindparam, func, select, text

from reference_impl.bounded import within
from reference_impl.lifecycle import ENDED, Requeued, Status
from reference_impl.liveness import Evidence, Liveness, judge
from reference_impl.messages import LOSSES, find, send
from reference_impl.models import TaskRecord
from reference_impl.registry import apply_within, lease_holds
from reference_impl.reports import Report
from reference_impl.rollcall import call_the_roll
from reference_impl.settings import Settings
from reference_impl.stored_results import forget_ended_before
from reference_impl.transitions import tell

_TASKS = cast("Table", TaskRecord.__table__)

_WORKERS = text("""
    SELECT i.node, i.incarnation_id::text AS incarnation_id, i.pid, i.started_at, i.renewed_at, i.lease_s,
           extract(epoch FROM i.renewed_at + make_interval(secs => i.lease_s) - clock_timestamp())::float
               AS lease_left_s,
           count(a.attempt_id) AS open_attempts
    FROM celery_worker_incarnation i
    LEFT JOIN celery_task_attempt a ON a.incarnation_id = i.incarnation_id AND a.ended_at IS NULL
    GROUP BY i.incarnation_id
    HAVING i.renewed_at + make_interval(secs => i.lease_s) >= clock_timestamp() OR count(a.attempt_id) > 0
    ORDER BY i.node, i.started_at
""")

_TOLD = select(
    _TASKS.c.task_id, _TASKS.c.task_name.label("name"), _TASKS.c.status, _TASKS.c.worker_id.label("worker"),
    _TASKS.c.started_at,
)  # fmt: skip
_STARTED = _TOLD.where(_TASKS.c.status == Status.STARTED).order_by(_TASKS.c.started_at, _TASKS.c.task_id)
_NAMED = _TOLD.where(_TASKS.c.task_id == func.any(bindparam("task_ids")))
_STUCK = _STARTED.where(
    func.coalesce(_TASKS.c.progressed_at, _TASKS.c.started_at)
    < func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, bindparam("stuck_after_s"))
)
_OLD = text("""
    SELECT count(*) FROM celery_task_registry
    WHERE completed_at < statement_timestamp() - make_interval(secs => :after_s)
      AND status IN ('SUCCESS', 'FAILURE', 'REVOKED')
""")

_WATCHED = text("""
    SELECT last - since >= make_interval(secs => :lease_s)
           AND last >= clock_timestamp() - make_interval(secs => :gap_s)
    FROM celery_sweep_pulse
""")


class NotAskedError(Exception):
    """The workers could not be asked: their broker failed, or did not answer."""


class NotRequeuedError(Exception):
    """The task is not run again; the message says why, and what to do instead."""


@dataclass(frozen=True)
class WorkerState:
    """One incarnation: its lease, what it has open, and whether it lives; times and spans as in its table."""

    row: dict[str, Any]
    liveness: Liveness
    why: str


def workers(engine: Engine, settings: Settings, app: Celery | None) -> list[WorkerState]:
    """The incarnations that hold a lease, or have attempts open. Raises SQLAlchemy's errors.

    Without `app` nobody is asked through the broker, and whose lease has run out is unknown.
    """
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(_WORKERS).mappings()]
        gap = {"lease_s": settings.lease_s, "gap_s": settings.continuity_s}
        watched = bool(connection.execute(_WATCHED, gap).scalar())
    suspects = {row["incarnation_id"] for row in rows if row["lease_left_s"] < 0}
    call = call_the_roll(app, settings.ping_timeout_s, suspects) if app is not None and suspects else None
    states = []
    for row in rows:
        evidence = Evidence(
            lease_ran_out=row["lease_left_s"] < 0,
            watched=watched,
            answered=call is not None and row["incarnation_id"] in call.incarnations,
            broker_works=call is not None and call.broker_works,
        )
        states.append(WorkerState(row, *judge(evidence)))
    return states


def active_tasks(engine: Engine, app: Celery, settings: Settings) -> list[dict[str, Any]]:
    """Tasks that are STARTED or executed, with `executing`: whether a worker says so; None where its worker is silent.

    The registry is read before and after workers are asked: what began or ended meanwhile is left out. A task that a
    worker executes and the registry does not know as STARTED has the status that it has, or None. Raises
    NotAskedError.
    """
    before = _rows(engine, _STARTED)
    said = _executed(app, settings)
    after = _rows(engine, _STARTED)
    known = [row for task_id, row in after.items() if task_id in before]
    unknown = {task_id: name for tasks in said.values() for task_id, name in tasks.items() if task_id not in before}
    standing = _rows(engine, _NAMED, task_ids=list(unknown))
    for node, tasks in said.items():
        for task_id, name in tasks.items():
            blank = {"task_id": task_id, "name": name, "status": None, "worker": node, "started_at": None}
            row = standing.get(task_id, blank)
            if task_id in unknown and row["status"] not in {*ENDED, Status.STARTED}:
                known.append(row)
    return [row | {"executing": _is_executed(row, said)} for row in known]


def stuck_tasks(engine: Engine, app: Celery, settings: Settings) -> list[dict[str, Any]]:
    """STARTED tasks that have made no progress for `stuck_after_s`, with `executing` as above. Raises NotAskedError."""
    said = _executed(app, settings)
    rows = _rows(engine, _STUCK, stuck_after_s=settings.stuck_after_s)
    return [row | {"executing": _is_executed(row, said)} for row in rows.values()]


def clear_old_tasks(engine: Engine, after_s: float, *, dry_run: bool) -> int:
    """Forget tasks that ended so long ago; gives how many they are."""
    if dry_run:
        with engine.connect() as connection:
            return int(connection.execute(_OLD, {"after_s": after_s}).scalar_one())
    count = 0
    while True:
        with engine.begin() as connection:
            forgotten = forget_ended_before(connection, after_s)
        count += forgotten
        if not forgotten:
            return count


def _rows(engine: Engine, query: Executable, **values: Any) -> dict[str, dict[str, Any]]:
    with engine.connect() as connection:
        return {row["task_id"]: dict(row) for row in connection.execute(query, values).mappings()}


def _executed(app: Celery, settings: Settings) -> dict[str, dict[str, str]]:
    """What each worker that answers executes: task id to name."""
    patience_s = settings.ping_timeout_s
    try:
        answers = within(4 * patience_s, "inspection", lambda: app.control.inspect(timeout=patience_s).active() or {})
    except Exception as error:
        raise NotAskedError(f"{type(error).__name__}: {error}") from error
    return {
        node: {task["id"]: task["name"] for task in tasks} for node, tasks in answers.items() if isinstance(tasks, list)
    }


def _is_executed(row: Mapping[str, Any], said: Mapping[str, Mapping[str, str]]) -> bool | None:
    if any(row["task_id"] in tasks for tasks in said.values()):
        return True
    return False if row["worker"] in said else None


def lost(engine: Engine, limit: int) -> list[dict[str, Any]]:
    """Tasks that ended because their worker, or their message, was lost; the newest ends first."""
    query = (
        select(_TASKS)
        .where(_TASKS.c.status.in_([Status.FAILURE, Status.REVOKED]), _TASKS.c.reason.in_(sorted(LOSSES)))
        .order_by(_TASKS.c.completed_at.desc())
        .limit(limit)
    )
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def requeue(engine: Engine, app: Celery, task_id: str, who: str) -> None:
    """Send a lost task's message again, under its id; its lost attempts do not count any more.

    Raises NotRequeuedError, NotKeptError or NotSentError, and SQLAlchemy's errors; then nothing has changed.
    """
    with engine.begin() as connection:
        row = connection.execute(select(_TASKS).where(_TASKS.c.task_id == task_id).with_for_update()).one_or_none()
        if row is None:
            raise NotRequeuedError("there is no such task in the registry")
        if row.status in {Status.PENDING, Status.RETRY}:
            raise NotRequeuedError(f"it is {row.status}: its message is on its way, or waits for its time")
        if row.status == Status.STARTED and lease_holds(connection, row.incarnation_id):
            raise NotRequeuedError(f"worker {row.worker_id} holds its lease, and executes it")
        if row.status != Status.STARTED and row.reason not in LOSSES:
            ended = f"{row.status} ({row.reason})" if row.reason else row.status
            raise NotRequeuedError(f"it ended as {ended}, and not by a loss: publish it anew, under another id")
        message = find(connection, task_id)
        again = Requeued(row.attempt_id if row.status == Status.STARTED else None, by_hand=True)
        report = Report(task_id, again, who, "requeued by hand", task_name=row.task_name)
        outcome = apply_within(connection, report)
        send(app, message)
    tell(report, outcome)
