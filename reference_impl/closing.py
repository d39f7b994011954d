"""How a sweep ends what nobody executes any more: tasks of the dead, waits that are over, deliveries that are lost."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from celery import Celery
from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import DBAPIError

from reference_impl import metrics
from reference_impl.agent_progress import AgentProgress
from reference_impl.agents import progress_of
from reference_impl.backend import kept_result
from reference_impl.columns import AWAITING_REDELIVERY
from reference_impl.connections import cause_of
from reference_impl.lifecycle import (
    DeliveryLost,
    Failed,
    Owner,
    RedeliveryOverdue,
    Requeued,
    Succeeded,
    Transition,
    WorkerLost,
)
from reference_impl.liveness import Liveness
from reference_impl.masking import masked
from reference_impl.messages import NotKeptError, NotSentError, find, send
from reference_impl.registry import LOST, apply_within, lose_attempt
from reference_impl.reports import Outcome, Report
from reference_impl.results import NoAnswerError, ResultBackend, StoredEnd
from reference_impl.settings import Policy, Settings
from reference_impl.storable import readable, storable
from reference_impl.sweep_report import ACTIONS, FAILED, FOUND_ENDED, MISSING, Finding, SweepReport
from reference_impl.transitions import tell

logger = logging.getLogger(__name__)

WORKER_LOST = "worker-lost"
REDELIVERY_OVERDUE = "redelivery-overdue"

_OVERDUE = text("""
    SELECT r.task_id, r.task_name, r.worker_id, a.waiters
    FROM celery_task_registry r LEFT JOIN celery_task_attempt a USING (attempt_id)
    WHERE status = 'RETRY' AND detail = :awaiting AND eta < clock_timestamp()
""")

_LEASE_AGAIN = text("""
    SELECT renewed_at + make_interval(secs => lease_s) < clock_timestamp()
    FROM celery_worker_incarnation WHERE incarnation_id = :incarnation_id FOR UPDATE
""")

_SAME_DELIVERY = text("""
    SELECT true FROM celery_task_registry WHERE task_id = :task_id AND attempts = :attempts FOR UPDATE
""")


@dataclass(frozen=True)
class Pass:
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


def close_or_tell(this: Pass, row: Row[Any], verdict: tuple[Liveness, str]) -> Finding:
    """End an open attempt of the dead, as its policy says; what cannot be ended is said in the finding.

    Raises DBAPIError when the database is gone as a whole.
    """
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


def _close(this: Pass, row: Row[Any], verdict: tuple[Liveness, str]) -> Finding:
    liveness, why = verdict
    finding = _finding(row, verdict)
    if liveness is not Liveness.DEAD:
        return finding
    if row.age < timedelta(seconds=this.settings.minimum_age_s):
        return replace(finding, why=f"{why}; younger than minimum_age_s ({this.settings.minimum_age_s:g} s)")
    end = _end_before_death(this, row)
    return _take_away(this, row, finding) if end is None else _find_ended(this, row, finding, end)


def _take_away(this: Pass, row: Row[Any], finding: Finding) -> Finding:
    """Do with it what its policy says."""
    why = finding.why
    policy = this.settings.policy_for(row.task_name, acks_late=row.acks_late)
    if policy is Policy.REPORT:
        return replace(finding, action="reported")
    if this.dry_run:
        return replace(finding, action=f"would be {ACTIONS[policy]}")
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
        return replace(finding, action=ACTIONS[policy])
    return replace(finding, why=f"{why}; {outcome.decision}")


def _may_close(this: Pass, connection: Connection, row: Row[Any]) -> bool:
    """A lease that was renewed meanwhile wins, unless it is the sweeper's own, whose child is gone."""
    return not row.registered or row.incarnation_id == this.own or _still_dead(connection, row.incarnation_id)


def _still_dead(connection: Connection, incarnation_id: UUID) -> bool:
    ran_out: bool | None = connection.execute(_LEASE_AGAIN, {"incarnation_id": incarnation_id}).scalar()
    return bool(ran_out)


def _end_before_death(this: Pass, row: Row[Any]) -> StoredEnd | None:
    """The end that the dead process had stored for whoever asks; it is true, and no policy's business."""
    try:
        return this.backend.end_of(row.task_id, row.started_at)
    except NoAnswerError as error:
        logger.warning("tracking: whether %s had ended cannot be read from the result backend: %s", row.task_id, error)
        return None


def _stored(this: Pass, finding: Finding, owner: Owner, end: StoredEnd) -> Report:
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


def _find_ended(this: Pass, row: Row[Any], finding: Finding, end: StoredEnd) -> Finding:
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


def _verdict_on(this: Pass, row: Row[Any], policy: Policy, *, why: str, refused: str | None) -> Report:
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


def close_superseded(this: Pass, row: Row[Any], liveness: Liveness) -> None:
    """An attempt whose record went on without it is nobody's any more, once its worker is dead; it counts as lost."""
    if liveness is not Liveness.DEAD or this.dry_run:
        return
    with this.engine.begin() as connection:
        if _may_close(this, connection, row):
            lose_attempt(connection, row.attempt_id)


def give_up_waiting(engine: Engine, *, by: str) -> Iterable[Finding]:
    """End what the broker should have delivered again by now."""
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


def close_lost_deliveries(this: Pass, missing: Iterable[Row[Any]], told: Collection[Finding]) -> Iterable[Finding]:
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


def tell_result_backend(backend: ResultBackend, report: SweepReport) -> None:
    """Whoever waits in `.get()` for a task that a sweep ended must be told too."""
    for finding in report.findings:
        said = f"{report.by}: {finding.why}"
        try:
            if finding.action == LOST:
                backend.tell_lost(finding.task_id, said)
            elif finding.action == ACTIONS[Policy.REVOKE]:
                backend.tell_revoked(finding.task_id, said, finding.waiters)
        except NoAnswerError as error:  # the registry has the end already
            logger.error(
                "tracking: the end of task %s[%s] was not stored in the result backend: %s",
                finding.task_name,
                finding.task_id,
                error,
            )
