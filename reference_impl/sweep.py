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
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

import psutil
from celery import Celery
from sqlalchemy import Connection, Engine, Row, text

from reference_impl import metrics
from reference_impl.agreement import Disagreement, doubted, mend
from reference_impl.bounded import within
from reference_impl.closing import (
    Pass,
    close_lost_deliveries,
    close_or_tell,
    close_superseded,
    give_up_waiting,
    tell_result_backend,
)
from reference_impl.deliveries import Sought, look_for_messages
from reference_impl.lifecycle import Status
from reference_impl.liveness import Evidence, Liveness, judge
from reference_impl.messages import forget_ended
from reference_impl.one_sweeper import only_sweeper, pulse
from reference_impl.results import NoAnswerError, ResultBackend
from reference_impl.rollcall import RollCall, call_the_roll
from reference_impl.settings import Settings
from reference_impl.stored_results import forget_expired, note_told, untold, value_for_backend
from reference_impl.sweep_report import Finding, SweepReport, count_tasks, log_tasks

P = ParamSpec("P")

logger = logging.getLogger(__name__)

# Celery looks after its children every 5 s, and tells of a lost one; only what it does not tell is for a sweep.
_CELERY_TELLS_S = 6.0

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

_NOTE_SILENCE = text("""
    UPDATE celery_worker_incarnation SET silent_at = clock_timestamp() WHERE incarnation_id = ANY(:silent)
""")


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
    this = Pass(engine, app, settings, by, dry_run, own, ResultBackend(app, settings.ping_timeout_s))
    report = SweepReport(by, datetime.now(UTC))
    findings: list[Finding] = []
    try:
        with only_sweeper(engine, settings.lease_s) as lock:
            if lock is None:
                return replace(report, skipped="another sweep is running")
            watched = pulse(lock, settings)
            sought = look_for_messages(lock, app, settings) if watched else Sought()
            pulse(lock, settings)
            rows = _read_suspects(this, lock)
            doubts = doubted(lock, this.progress, minimum_age_s=settings.minimum_age_s) if watched else set()
            lock.commit()
            call = _call_the_roll(this, lock, rows, sought, doubts, watched=watched, prove_broker=prove_broker)
            if call is not None:
                report = replace(report, broker_works=call.broker_works, broker_why=call.why)
                report = replace(report, answered=tuple(sorted(call.incarnations)))
                rows = _read_suspects(this, lock)  # leases have run out meanwhile, or have been renewed
                _note_silence(this, lock, rows, call)
            watched = pulse(lock, settings) and watched
            report = replace(report, watched=watched, undecided=any(map(_is_asked_again, rows)))
            for row in rows:
                if own is not None and row.incarnation_id == own:
                    verdict = _judge_own(row)
                else:
                    verdict = _judge(row, call, watched=watched, force=force, asked_twice=dry_run)
                if row.superseded:
                    close_superseded(this, row, verdict[0])
                    continue
                finding = close_or_tell(this, row, verdict)
                if verdict[0] is Liveness.ALIVE:
                    finding = _watched(this, row, finding, revoke_stuck=revoke_stuck)
                findings.append(finding)
                if finding.liveness is Liveness.DEAD:
                    pulse(lock, settings)  # many tasks take long, and the session that holds the lock must not idle
            if watched and call is not None:
                findings += close_lost_deliveries(this, sought.missing(call), told)
                pulse(lock, settings)
            if not dry_run:
                findings += give_up_waiting(engine, by=by)
                report = replace(report, mended=_tidy(this, lock, call, watched=watched))
    finally:  # what was closed is closed, whatever failed after it, and whoever waits is told
        report = replace(report, findings=tuple(findings))
        tell_result_backend(this.backend, report)
    count_tasks(report, told)
    log_tasks(report, told)
    return report


def _read_suspects(this: Pass, lock: Connection) -> Sequence[Row[Any]]:
    rows = lock.execute(_SUSPECTS, _spans(this.settings)).all()
    lock.commit()
    return rows


def _call_the_roll(
    this: Pass,
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
    if not (this.dry_run and suspects and pulse(lock, this.settings)):
        return call
    again = call_the_roll(this.app, this.settings.ping_timeout_s, suspects)
    return replace(
        again,
        names=call.names | again.names,
        incarnations=call.incarnations | again.incarnations,
        held=call.held,
        behind=call.behind,
    )


def _note_silence(this: Pass, lock: Connection, rows: Iterable[Row[Any]], call: RollCall) -> None:
    """Whoever did not answer is asked again by the next sweep, whichever worker makes it."""
    suspects = {row.incarnation_id for row in rows if row.suspect and row.registered and row.incarnation_id != this.own}
    silent = suspects - {UUID(incarnation_id) for incarnation_id in call.incarnations}
    if call.broker_works and silent and not this.dry_run:
        lock.execute(_NOTE_SILENCE, {"silent": list(silent)})
        lock.commit()


def _is_asked_again(row: Row[Any]) -> bool:
    return bool(row.lease_ran_out and not row.silent_before)


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


def _tidy(this: Pass, lock: Connection, call: RollCall | None, *, watched: bool) -> tuple[Disagreement, ...]:
    """What is left to do when every task has been looked at; gives what was mended."""
    forget_ended(lock)
    forget_expired(lock, this.settings)
    lock.commit()
    _tell_untold(this)
    if not watched:
        return ()
    alive = call.incarnations if call is not None and call.broker_works else None
    return tuple(mend(this.engine, this.progress, minimum_age_s=this.settings.minimum_age_s, alive=alive, by=this.by))


def _tell_untold(this: Pass) -> None:
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


def _watched(this: Pass, row: Row[Any], finding: Finding, *, revoke_stuck: bool) -> Finding:
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


def _asked_to_end(this: Pass, finding: Finding) -> str:
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
