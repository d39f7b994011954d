"""One pass of stale detection and clean-up, the same for worker start, the worker's timer, beat and the CLI.

1. One sweeper at a time: an advisory lock, held for the pass. Who does not get it leaves; who stands still for a
   lease while it holds it loses it.
2. The pulse: since when have sweeps been in touch with this database without a gap? After an outage, or a pause
   of the sweepers themselves, every lease looks run out; none counts until a full lease has been watched.
3. Lost deliveries: tasks that have waited for long, and whose message the broker does not have.
4. Suspects: open attempts whose incarnation has not renewed its lease for half of it, and started records of workers
   that never registered. An attempt whose record went on without it, to a redelivery for example, is only closed
   itself.
5. The roll call, one a pass, if there is a suspect, a message that a worker may have, or a caller who wants the
   broker's proof in any case. Whose lease has run out, and who was silent the time before as well, is dead: asking
   early, nothing is lost by asking twice.
6. Each dead incarnation's tasks are closed in one transaction that locks the incarnation first and looks at its
   lease again, so that a renewal in between wins.
7. What is over is forgotten, and the result backend is told what it missed while it was away.
8. Agents that run by a task which is not executed any more are let go, and so is their progress.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

import psutil
from celery import Celery
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import DBAPIError, OperationalError

from reference_impl import metrics
from reference_impl.agent_progress import AgentProgress
from reference_impl.agents import progress_of
from reference_impl.agreement import Disagreement, doubted, mend
from reference_impl.backend import kept_result
from reference_impl.bounded import within
from reference_impl.connections import cause_of
from reference_impl.deliveries import Sought, look_for_messages
from reference_impl.lifecycle import (
    DeliveryLost,
    Failed,
    Owner,
    RedeliveryOverdue,
    Requeued,
    Status,
    Succeeded,
    Transition,
    WorkerLost,
)
from reference_impl.liveness import ASKED_AGAIN, Evidence, Liveness, judge
from reference_impl.masking import masked
from reference_impl.messages import NotKeptError, NotSentError, find, forget_ended, send
from reference_impl.registry import AWAITING_REDELIVERY, LOST, Outcome, Report, apply_within, lose_attempt
from reference_impl.results import NoAnswerError, ResultBackend, StoredEnd
from reference_impl.rollcall import RollCall, call_the_roll
from reference_impl.settings import Policy, Settings
from reference_impl.storable import readable, storable
from reference_impl.stored_results import forget_expired, note_told, untold, value_for_backend
from reference_impl.transitions import tell

P = ParamSpec("P")

logger = logging.getLogger(__name__)

WORKER_LOST = "worker-lost"
REDELIVERY_OVERDUE = "redelivery-overdue"
FAILED = "failed"
FOUND_ENDED = "found ended"
MISSING = "missing"

# Celery looks after its children every 5 s, and tells of a lost one; only what it does not tell is for a sweep.
_CELERY_TELLS_S = 6.0

_ACTIONS = {Policy.REVOKE: "revoked", Policy.REDELIVER: "left to redelivery", Policy.REQUEUE: "requeued"}
_CLOSING = frozenset({*_ACTIONS.values(), FOUND_ENDED})

# Any number that no other user of advisory locks in this database would choose.
_ONE_SWEEPER = 0x63656C65727953

_SUSPECTS = text("""
    SELECT a.task_id, coalesce(r.task_name, a.task_name) AS task_name, a.attempt_id, a.incarnation_id,
           a.worker_id, a.acks_late, a.waiters, a.started_at, i.incarnation_id IS NOT NULL AS registered,
           coalesce(i.renewed_at + make_interval(secs => i.lease_s),
                    coalesce(r.last_heartbeat, a.started_at) + make_interval(secs => :lease_s))
               < clock_timestamp() AS lease_ran_out,
           coalesce(i.renewed_at + make_interval(secs => i.lease_s / 2),
                    coalesce(r.last_heartbeat, a.started_at) + make_interval(secs => :lease_s / 2))
               < clock_timestamp() AS suspect,
           coalesce(i.silent_at > i.renewed_at, i.incarnation_id IS NULL) AS silent_before,
           clock_timestamp() - a.started_at AS age,
           coalesce(r.progressed_at, a.started_at) + make_interval(secs => :stuck_after_s)
               < clock_timestamp() AS stuck,
           NOT (r.status IS NULL OR r.status = 'PENDING' OR (r.status = 'STARTED' AND r.attempt_id = a.attempt_id))
               AS superseded,
           a.worker_pid,
           coalesce(r.last_heartbeat, a.started_at) + make_interval(secs => :silence_s) < clock_timestamp() AS silent
    FROM celery_task_attempt a
    LEFT JOIN celery_task_registry r USING (task_id)
    LEFT JOIN celery_worker_incarnation i ON i.incarnation_id = a.incarnation_id
    WHERE a.ended_at IS NULL AND a.incarnation_id IS NOT NULL
    UNION ALL
    SELECT r.task_id, r.task_name, NULL, r.incarnation_id, r.worker_id, false, NULL, r.started_at, false,
           coalesce(r.last_heartbeat, r.started_at, r.queued_at) + make_interval(secs => :lease_s)
               < clock_timestamp(),
           coalesce(r.last_heartbeat, r.started_at, r.queued_at) + make_interval(secs => :lease_s / 2)
               < clock_timestamp(), true,
           clock_timestamp() - coalesce(r.started_at, r.queued_at), false, false, NULL, false
    FROM celery_task_registry r
    WHERE r.status = 'STARTED' AND r.attempt_id IS NULL
    ORDER BY 5, 1
""")

_OVERDUE = text("""
    SELECT r.task_id, r.task_name, r.worker_id, a.waiters
    FROM celery_task_registry r LEFT JOIN celery_task_attempt a USING (attempt_id)
    WHERE status = 'RETRY' AND detail = :awaiting AND eta < clock_timestamp()
""")

_PULSE = text("""
    INSERT INTO celery_sweep_pulse AS pulse (id, since, last) VALUES (1, clock_timestamp(), clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET
        since = CASE WHEN pulse.last < clock_timestamp() - make_interval(secs => :gap_s)
                     THEN clock_timestamp() ELSE pulse.since END,
        last = clock_timestamp()
    RETURNING last - since >= make_interval(secs => :lease_s)
""")

_LEASE_AGAIN = text("""
    SELECT renewed_at + make_interval(secs => lease_s) < clock_timestamp()
    FROM celery_worker_incarnation WHERE incarnation_id = :incarnation_id FOR UPDATE
""")


_NOTE_SILENCE = text("""
    UPDATE celery_worker_incarnation SET silent_at = clock_timestamp() WHERE incarnation_id = ANY(:silent)
""")


_SAME_DELIVERY = text("""
    SELECT true FROM celery_task_registry WHERE task_id = :task_id AND attempts = :attempts FOR UPDATE
""")


@dataclass(frozen=True)
class Finding:
    """One open task, what was found out about its worker, and what was done."""

    task_id: str
    task_name: str | None
    worker: str | None
    incarnation_id: str | None
    liveness: Liveness
    why: str
    action: str = "none"
    stuck: bool = False
    overran: bool = False
    deliveries: int = field(default=0, repr=False)
    waiters: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SweepReport:
    """The account of one pass. `broker_works` is None when no roll call was needed.

    `undecided` is whether a lease has run out whose incarnation was not asked twice yet; `answered` are the
    incarnations that have answered a roll call.
    """

    by: str
    at: datetime
    skipped: str | None = None
    watched: bool = False
    broker_works: bool | None = None
    broker_why: str = "no suspect, no roll call"
    undecided: bool = False
    findings: tuple[Finding, ...] = field(default_factory=tuple)
    mended: tuple[Disagreement, ...] = field(default_factory=tuple)
    answered: tuple[str, ...] = ()

    @property
    def closed(self) -> int:
        """How many tasks this pass took away from a dead worker, or found to have ended there."""
        return sum(finding.action in _CLOSING for finding in self.findings)


@dataclass(frozen=True)
class _Pass:
    """What every step of one sweep needs."""

    engine: Engine
    app: Celery
    settings: Settings
    by: str
    dry_run: bool
    own: UUID | None
    backend: ResultBackend

    @property
    def progress(self) -> AgentProgress | None:
        """Where the application's agents keep their progress."""
        return progress_of(self.app)


def _timed(
    sweep: Callable[Concatenate[Engine, Celery, Settings, P], SweepReport],
) -> Callable[Concatenate[Engine, Celery, Settings, P], SweepReport]:
    """Count each pass, whoever makes it, with its time; one that raises too."""

    @functools.wraps(sweep)
    def timed(engine: Engine, app: Celery, settings: Settings, /, *args: P.args, **kwargs: P.kwargs) -> SweepReport:
        began, result = time.monotonic(), "failed"
        try:
            report = sweep(engine, app, settings, *args, **kwargs)
            result = "skipped" if report.skipped else "done"
            return report
        finally:
            metrics.swept(result, time.monotonic() - began, settings.sweep_interval_s)

    return timed


@_timed
def sweep(
    engine: Engine,
    app: Celery,
    settings: Settings,
    *,
    by: str,
    force: bool = False,
    dry_run: bool = False,
    prove_broker: bool = False,
    revoke_stuck: bool = False,
    own: UUID | None = None,
    told: Collection[Finding] = (),
) -> SweepReport:
    """Make one pass. With `prove_broker` the roll is called even if nobody is suspect.

    A task of a living worker that has made no progress for `stuck_after_s` is told; with `revoke_stuck` its worker
    is asked to terminate it.

    `own` is the incarnation that sweeps: its keeper may be slow to start, and it must not take itself for dead.
    `told` are the findings of the pass before, which the log does not repeat.

    One task that cannot be closed does not keep the others. Raises SQLAlchemy's errors when the database fails as
    a whole; then nothing half-done remains.
    """
    this = _Pass(engine, app, settings, by, dry_run, own, ResultBackend(app, settings.ping_timeout_s))
    report = SweepReport(by, datetime.now(UTC))
    findings: list[Finding] = []
    try:
        with _only_sweeper(engine, settings.lease_s) as lock:
            if lock is None:
                return replace(report, skipped="another sweep is running")
            watched = _pulse(lock, settings)
            sought = look_for_messages(lock, app, settings) if watched else Sought()
            _pulse(lock, settings)
            rows = _read_suspects(this, lock)
            doubts = doubted(lock, this.progress, minimum_age_s=settings.minimum_age_s) if watched else set()
            lock.commit()
            call = _call_the_roll(this, lock, rows, sought, doubts, watched=watched, prove_broker=prove_broker)
            if call is not None:
                report = replace(report, broker_works=call.broker_works, broker_why=call.why)
                report = replace(report, answered=tuple(sorted(call.incarnations)))
                rows = _read_suspects(this, lock)  # leases have run out meanwhile, or have been renewed
                _note_silence(this, lock, rows, call)
            watched = _pulse(lock, settings) and watched
            report = replace(report, watched=watched, undecided=any(map(_is_asked_again, rows)))
            for row in rows:
                if own is not None and row.incarnation_id == own:
                    verdict = _judge_own(row)
                else:
                    verdict = _judge(row, call, watched=watched, force=force, asked_twice=dry_run)
                if row.superseded:
                    _close_superseded(this, row, verdict[0])
                    continue
                finding = _close_or_tell(this, row, verdict)
                if verdict[0] is Liveness.ALIVE:
                    finding = _watched(this, row, finding, revoke_stuck=revoke_stuck)
                findings.append(finding)
                if finding.liveness is Liveness.DEAD:
                    _pulse(lock, settings)  # many tasks take long, and the session that holds the lock must not idle
            if watched and call is not None:
                findings += _close_lost_deliveries(this, sought.missing(call), told)
                _pulse(lock, settings)
            if not dry_run:
                findings += _give_up_waiting(engine, by=by)
                report = replace(report, mended=_tidy(this, lock, call, watched=watched))
    finally:  # what was closed is closed, whatever failed after it, and whoever waits is told
        report = replace(report, findings=tuple(findings))
        _tell_result_backend(this.backend, report)
    _count(report, told)
    _log(report, told)
    return report


def _read_suspects(this: _Pass, lock: Connection) -> Sequence[Row[Any]]:
    rows = lock.execute(_SUSPECTS, _spans(this.settings)).all()
    lock.commit()
    return rows


def _call_the_roll(
    this: _Pass,
    lock: Connection,
    rows: Iterable[Row[Any]],
    sought: Sought,
    doubts: Collection[str],
    *,
    watched: bool,
    prove_broker: bool,
) -> RollCall | None:
    """Once a pass, where there is somebody or something to ask for; a pass that notes nothing asks twice itself.

    While the leases have not been watched for long enough, nobody is asked whose silence is noted already: it could not
    be judged, and the pass after the watch would begin as much later.
    """
    suspects = {
        str(row.incarnation_id)
        for row in rows
        if row.suspect
        and row.incarnation_id != this.own
        and (watched or prove_broker or not (row.registered and row.silent_before))
    }
    if not (prove_broker or suspects or sought.tasks or doubts):
        return None
    expected = suspects | sought.workers.keys() | set(doubts)
    call = call_the_roll(this.app, this.settings.ping_timeout_s, expected, sought=sought.tasks)
    if not (this.dry_run and suspects and _pulse(lock, this.settings)):
        return call
    again = call_the_roll(this.app, this.settings.ping_timeout_s, suspects)
    return replace(
        again,
        names=call.names | again.names,
        incarnations=call.incarnations | again.incarnations,
        held=call.held,
        behind=call.behind,
    )


def _note_silence(this: _Pass, lock: Connection, rows: Iterable[Row[Any]], call: RollCall) -> None:
    """Whoever did not answer is asked again by the next sweep, whichever worker makes it."""
    suspects = {row.incarnation_id for row in rows if row.suspect and row.registered and row.incarnation_id != this.own}
    silent = suspects - {UUID(incarnation_id) for incarnation_id in call.incarnations}
    if call.broker_works and silent and not this.dry_run:
        lock.execute(_NOTE_SILENCE, {"silent": list(silent)})
        lock.commit()


def _is_asked_again(row: Row[Any]) -> bool:
    return bool(row.lease_ran_out and not row.silent_before)


@contextmanager
def _only_sweeper(engine: Engine, lease_s: float) -> Iterator[Connection | None]:
    with engine.connect() as connection:
        mine = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ONE_SWEEPER}).scalar_one()
        if not mine:
            connection.commit()
            yield None
            return
        # A sweeper that stands still would keep everybody from sweeping: after a lease its session ends.
        connection.execute(text(f"SET idle_session_timeout = {int(lease_s * 1000)}"))
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ONE_SWEEPER})
            connection.execute(text("RESET idle_session_timeout"))
            connection.commit()


def await_other_sweeper(engine: Engine, within_s: float) -> None:
    """Wait until nobody sweeps, for so long at most; whoever only tries now and then may always come too late.

    Raises SQLAlchemy's errors when the database fails.
    """
    with engine.connect() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = {max(1, int(within_s * 1000))}"))
        try:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_SWEEPER})
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
        connection.rollback()


def _pulse(connection: Connection, settings: Settings) -> bool:
    """Whether sweeps have been in touch without a gap for a full lease; counts this moment as touch."""
    values = {"gap_s": settings.continuity_s, "lease_s": settings.lease_s}
    watched: bool = connection.execute(_PULSE, values).scalar_one()
    connection.commit()
    return watched


def _judge(
    row: Row[Any], call: RollCall | None, *, watched: bool, force: bool, asked_twice: bool
) -> tuple[Liveness, str]:
    answered = False
    if call is not None:
        known = str(row.incarnation_id) if row.incarnation_id else None
        answered = known in call.incarnations if known else row.worker_id in call.names
    return judge(
        Evidence(
            lease_ran_out=row.lease_ran_out,
            watched=watched,
            answered=answered,
            broker_works=call.broker_works if call else False,
            broker_excused=force,
            silent_before=row.silent_before or asked_twice,
        )
    )


def _spans(settings: Settings) -> dict[str, float]:
    return {
        "lease_s": settings.lease_s,
        "stuck_after_s": settings.stuck_after_s,
        "silence_s": _CELERY_TELLS_S + 2 * settings.heartbeat_interval_s,
    }


def _judge_own(row: Row[Any]) -> tuple[Liveness, str]:
    """The sweeping worker lives; a child of its own may be gone without Celery telling the tracker of its task."""
    if row.silent and not _is_here(row.worker_pid):
        return Liveness.DEAD, "the worker lives, and the child that executed it is gone"
    return Liveness.ALIVE, "it makes this sweep itself"


def _is_here(pid: int) -> bool:
    """Whether that is this process or one of its children: numbers are used again."""
    try:
        return pid == os.getpid() or psutil.Process(pid).ppid() == os.getpid()
    except psutil.NoSuchProcess:
        return False


def _close_or_tell(this: _Pass, row: Row[Any], verdict: tuple[Liveness, str]) -> Finding:
    try:
        return _close(this, row, verdict)
    except NotSentError as error:
        return replace(_finding(row, verdict), why=str(error), action=FAILED)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return replace(_finding(row, verdict), why=f"{type(error.orig).__name__}: {cause_of(error)}", action=FAILED)


def _finding(row: Row[Any], verdict: tuple[Liveness, str]) -> Finding:
    incarnation_id = str(row.incarnation_id) if row.incarnation_id else None
    return Finding(row.task_id, row.task_name, row.worker_id, incarnation_id, *verdict, waiters=row.waiters)


def _close(this: _Pass, row: Row[Any], verdict: tuple[Liveness, str]) -> Finding:
    liveness, why = verdict
    finding = _finding(row, verdict)
    if liveness is not Liveness.DEAD:
        return finding
    if row.age < timedelta(seconds=this.settings.minimum_age_s):
        return replace(finding, why=f"{why}; younger than minimum_age_s ({this.settings.minimum_age_s:g} s)")
    end = _end_before_death(this, row)
    return _take_away(this, row, finding) if end is None else _find_ended(this, row, finding, end)


def _take_away(this: _Pass, row: Row[Any], finding: Finding) -> Finding:
    """Do with it what its policy says."""
    why = finding.why
    policy = this.settings.policy_for(row.task_name, acks_late=row.acks_late)
    if policy is Policy.REPORT:
        return replace(finding, action="reported")
    if this.dry_run:
        return replace(finding, action=f"would be {_ACTIONS[policy]}")
    with this.engine.begin() as connection:
        if not _may_close(this, connection, row):
            return replace(finding, liveness=Liveness.ALIVE, why="its lease was renewed during this sweep")
        message, refused = None, None
        if policy is Policy.REQUEUE:
            try:
                message = find(connection, row.task_id)
            except NotKeptError as error:
                policy, refused = Policy.REVOKE, str(error)
                finding = replace(finding, why=f"{why}; it cannot be requeued: {refused}")
        report = _verdict_on(this, row, policy, why=why, refused=refused)
        outcome = apply_within(connection, report)
        if message is not None and isinstance(outcome.decision, Transition):
            # Before the commit: what fails here is tried again by the next sweep, and a message twice is no task lost.
            send(this.app, message)
    tell(report, outcome)
    if isinstance(outcome.decision, Transition):
        return replace(finding, action=_ACTIONS[policy])
    return replace(finding, why=f"{why}; {outcome.decision}")


def _may_close(this: _Pass, connection: Connection, row: Row[Any]) -> bool:
    """A lease that was renewed meanwhile wins, unless it is the sweeper's own, whose child is gone."""
    return not row.registered or row.incarnation_id == this.own or _still_dead(connection, row.incarnation_id)


def _end_before_death(this: _Pass, row: Row[Any]) -> StoredEnd | None:
    """The end that the dead process had stored for whoever asks; it is true, and no policy's business."""
    try:
        return this.backend.end_of(row.task_id, row.started_at)
    except NoAnswerError as error:
        logger.warning("tracking: whether %s had ended cannot be read from the result backend: %s", row.task_id, error)
        return None


def _stored(this: _Pass, finding: Finding, owner: Owner, end: StoredEnd) -> Report:
    """The report of an end that the result backend has."""
    report = Report(
        finding.task_id,
        Succeeded(owner) if end.succeeded else Failed(owner),
        who=this.by,
        why=f"its end was stored before its process died: {finding.why}",
        task_name=finding.task_name,
    )
    if end.succeeded:
        limit, names = this.settings.stored_result_bytes, this.settings.masked_names
        _, kept = kept_result(this.app, this.settings, finding.task_id, end.value)
        return replace(report, result=storable(end.value, limit_bytes=limit, masked_names=names), kept=kept)
    kind, said = type(end.value).__name__, masked(readable(end.value), this.settings.masked_names)
    return replace(report, error_type=kind, error_message=said, reason="exception")


def _find_ended(this: _Pass, row: Row[Any], finding: Finding, end: StoredEnd) -> Finding:
    if this.dry_run:
        return replace(finding, action=f"would be {FOUND_ENDED}")
    report = _stored(this, finding, Owner(row.incarnation_id, row.attempt_id), end)
    with this.engine.begin() as connection:
        if not _may_close(this, connection, row):
            return replace(finding, liveness=Liveness.ALIVE, why="its lease was renewed during this sweep")
        outcome = apply_within(connection, report)
    tell(report, outcome)
    metrics.decided(outcome.decision)
    if isinstance(outcome.decision, Transition):
        return replace(finding, action=FOUND_ENDED)
    return replace(finding, why=f"{finding.why}; {outcome.decision}")


def _tidy(this: _Pass, lock: Connection, call: RollCall | None, *, watched: bool) -> tuple[Disagreement, ...]:
    """What is left to do when every task has been looked at; gives what was mended."""
    forget_ended(lock)
    forget_expired(lock, this.settings)
    lock.commit()
    _tell_untold(this)
    if not watched:
        return ()
    alive = call.incarnations if call is not None and call.broker_works else None
    return tuple(mend(this.engine, this.progress, minimum_age_s=this.settings.minimum_age_s, alive=alive, by=this.by))


def _tell_untold(this: _Pass) -> None:
    """Ends that the backend could not take when they came; those that it still cannot take stay untold."""
    with this.engine.connect() as connection:
        rows = untold(connection)
    for row in rows:
        try:
            if row.status == Status.FAILURE:
                this.backend.tell_failed(row.task_id, row.error_type, row.error_message, row.waiters)
            else:
                this.backend.tell_done(row.task_id, value_for_backend(row), row.waiters)
        except NoAnswerError as error:
            logger.warning("tracking: the result backend still cannot be told of %s: %s", row.task_id, error)
            return
        with this.engine.begin() as connection:
            note_told(connection, row.task_id)


def _verdict_on(this: _Pass, row: Row[Any], policy: Policy, *, why: str, refused: str | None) -> Report:
    redeliver = policy is Policy.REDELIVER
    requeue = policy is Policy.REQUEUE
    died = f"worker {row.worker_id} died while executing it"
    return Report(
        row.task_id,
        Requeued(row.attempt_id) if requeue else WorkerLost(row.attempt_id, redeliver=redeliver),
        who=this.by,
        why=f"worker {row.worker_id} is dead: {why}",
        task_name=row.task_name,
        reason=None if requeue else WORKER_LOST,
        error_message=died if refused is None else f"{died}; it cannot be requeued: {refused}",
        awaits_s=this.settings.redelivery_bound_s if redeliver else None,
    )


def _close_superseded(this: _Pass, row: Row[Any], liveness: Liveness) -> None:
    """An attempt whose record went on without it is nobody's any more, once its worker is dead; it counts as lost."""
    if liveness is not Liveness.DEAD or this.dry_run:
        return
    with this.engine.begin() as connection:
        if _may_close(this, connection, row):
            lose_attempt(connection, row.attempt_id)


def _watched(this: _Pass, row: Row[Any], finding: Finding, *, revoke_stuck: bool) -> Finding:
    """What is to be said of a task whose worker lives: that it makes no progress, or takes longer than it may."""
    if row.stuck:
        why = f"{finding.why}; no progress for more than stuck_after_s ({this.settings.stuck_after_s:g} s)"
        action = _asked_to_end(this, finding) if revoke_stuck else "reported as stuck"
        finding = replace(finding, why=why, action=action, stuck=True)
    allowed_s = this.settings.allowed_for(row.task_name)
    if allowed_s is not None and row.age.total_seconds() > allowed_s:
        why = f"{finding.why}; executed for more than the {allowed_s:g} s that it is allowed"
        action = _asked_to_end(this, finding) if this.settings.end_overruns else "reported as overrunning"
        finding = replace(finding, why=why, action=action, overran=True)
    return finding


def _asked_to_end(this: _Pass, finding: Finding) -> str:
    """What fails here is tried again by the next pass, and keeps this one from nothing else."""
    if this.dry_run:
        return "would be asked to end"
    try:
        within(
            this.settings.ping_timeout_s,
            "termination",
            lambda: this.app.control.revoke(finding.task_id, terminate=True),
        )
    except Exception as error:  # noqa: BLE001 - a broker that is away, in whatever way
        logger.warning("tracking: %s cannot be asked to end: %s: %s", finding.task_id, type(error).__name__, error)
        return "could not be asked to end"
    return "asked to end"


def _still_dead(connection: Connection, incarnation_id: UUID) -> bool:
    ran_out: bool | None = connection.execute(_LEASE_AGAIN, {"incarnation_id": incarnation_id}).scalar()
    return bool(ran_out)


def _give_up_waiting(engine: Engine, *, by: str) -> Iterable[Finding]:
    done: list[tuple[Report, Outcome, Finding]] = []
    with engine.begin() as connection:
        for row in connection.execute(_OVERDUE, {"awaiting": AWAITING_REDELIVERY}).all():
            why = "the broker did not deliver it again within redelivery_bound_s"
            report = Report(
                row.task_id, RedeliveryOverdue(), who=by, why=why, reason=REDELIVERY_OVERDUE, error_message=why
            )
            finding = Finding(
                row.task_id, row.task_name, row.worker_id, None, Liveness.DEAD, why, "revoked", waiters=row.waiters
            )
            done.append((report, apply_within(connection, report), finding))
    for report, outcome, _ in done:
        tell(report, outcome)
    return [finding for _, outcome, finding in done if isinstance(outcome.decision, Transition)]


def _close_lost_deliveries(this: _Pass, missing: Iterable[Row[Any]], told: Collection[Finding]) -> Iterable[Finding]:
    """A message that is nowhere may be on its way from one place to another; twice, a sweep apart, it is lost."""
    missed_before = {(finding.task_id, finding.deliveries) for finding in told if finding.action == MISSING}
    why = "no queue and no worker has its message"
    for row in missing:
        finding = Finding(
            row.task_id, row.task_name, None, None, Liveness.UNKNOWN, why, MISSING, deliveries=row.attempts
        )
        if (row.task_id, row.attempts) not in missed_before or this.dry_run:
            yield finding
            continue
        try:
            end = this.backend.end_of(row.task_id, row.queued_at)
        except NoAnswerError:  # it may have run, and who did may have died before it told
            yield finding
            continue
        report = Report(row.task_id, DeliveryLost(), this.by, why, reason=LOST, error_message=f"lost: {why}")
        if end is not None:
            report = _stored(this, finding, Owner(None, None), end)
        with this.engine.begin() as connection:
            same = connection.execute(_SAME_DELIVERY, {"task_id": row.task_id, "attempts": row.attempts}).scalar()
            outcome = apply_within(connection, report) if same else None
        if outcome is not None and isinstance(outcome.decision, Transition):
            tell(report, outcome)
            metrics.decided(outcome.decision)
            yield replace(finding, action=LOST if end is None else FOUND_ENDED)


def _tell_result_backend(backend: ResultBackend, report: SweepReport) -> None:
    """Whoever waits in `.get()` for a task that a sweep ended must be told too."""
    for finding in report.findings:
        said = f"{report.by}: {finding.why}"
        try:
            if finding.action == LOST:
                backend.tell_lost(finding.task_id, said)
            elif finding.action == _ACTIONS[Policy.REVOKE]:
                backend.tell_revoked(finding.task_id, said, finding.waiters)
        except NoAnswerError as error:  # the registry has the end already
            logger.error(
                "tracking: the end of task %s[%s] was not stored in the result backend: %s",
                finding.task_name,
                finding.task_id,
                error,
            )


def _count(report: SweepReport, told: Collection[Finding]) -> None:
    """Each task of a dead worker once, however many passes find it; each failure to close it once."""
    dead = {(finding.task_id, finding.incarnation_id) for finding in told if finding.liveness is Liveness.DEAD}
    failed = {finding.task_id for finding in told if finding.action == FAILED}
    for finding in report.findings:
        if finding.liveness is Liveness.DEAD and (finding.task_id, finding.incarnation_id) not in dead:
            metrics.found_stale()
        if finding.action == FAILED and finding.task_id not in failed:
            metrics.tracking_failed()
        if finding.action in _CLOSING:
            metrics.took_away(finding.action)
            if finding.action == _ACTIONS[Policy.REVOKE]:
                metrics.decided(Transition(Status.REVOKED))


def _is_left_alone(finding: Finding) -> bool:
    """Unknown for longer than until the next sweep asks again."""
    undecided = finding.liveness is Liveness.UNKNOWN and finding.action not in {MISSING, LOST}
    return undecided and finding.why != ASKED_AGAIN


def _log(report: SweepReport, told: Collection[Finding]) -> None:
    known = {(finding.task_id, finding.action) for finding in told}
    for finding in report.findings:
        if (finding.task_id, finding.action) in known:
            continue
        if finding.action == FAILED:
            logger.error(
                "tracking: task %s[%s] was not closed by %s: %s",
                finding.task_name,
                finding.task_id,
                report.by,
                finding.why,
            )
        elif finding.action not in {"none", MISSING}:
            logger.warning(
                "tracking: task %s[%s] %s: %s", finding.task_name, finding.task_id, finding.action, finding.why
            )
    left_alone, before = (
        Counter((finding.worker, finding.why) for finding in findings if _is_left_alone(finding))
        for findings in (report.findings, told)
    )
    for (worker, why), count in left_alone.items():
        if (worker, why) not in before:
            logger.warning("tracking: %s is unknown, its open tasks (%d) are left alone: %s", worker, count, why)
    counts = {value: sum(f.liveness is value for f in report.findings) for value in Liveness}
    logger.log(
        logging.INFO if report.closed else logging.DEBUG,
        "tracking: %s closed %d of %d open tasks (alive %d, unknown %d, dead %d); broker: %s",
        report.by,
        report.closed,
        len(report.findings),
        *(counts[value] for value in Liveness),
        report.broker_why,
    )
