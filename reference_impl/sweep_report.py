"""What a sweep has found and done, and how that is counted and logged."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reference_impl import metrics
from reference_impl.agreement import Disagreement
from reference_impl.lifecycle import Status, Transition
from reference_impl.liveness import ASKED_AGAIN, Liveness
from reference_impl.registry import LOST
from reference_impl.settings import Policy

logger = logging.getLogger(__name__)

FAILED = "failed"
FOUND_ENDED = "found ended"
MISSING = "missing"

ACTIONS = {Policy.REVOKE: "revoked", Policy.REDELIVER: "left to redelivery", Policy.REQUEUE: "requeued"}
CLOSING = frozenset({*ACTIONS.values(), FOUND_ENDED})


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
        return sum(finding.action in CLOSING for finding in self.findings)


def count_tasks(report: SweepReport, told: Collection[Finding]) -> None:
    """Each task of a dead worker once, however many passes find it; each failure to close it once."""
    dead = {(finding.task_id, finding.incarnation_id) for finding in told if finding.liveness is Liveness.DEAD}
    failed = {finding.task_id for finding in told if finding.action == FAILED}
    for finding in report.findings:
        if finding.liveness is Liveness.DEAD and (finding.task_id, finding.incarnation_id) not in dead:
            metrics.found_stale()
        if finding.action == FAILED and finding.task_id not in failed:
            metrics.tracking_failed()
        if finding.action in CLOSING:
            metrics.took_away(finding.action)
            if finding.action == ACTIONS[Policy.REVOKE]:
                metrics.decided(Transition(Status.REVOKED))


def _is_left_alone(finding: Finding) -> bool:
    """Unknown for longer than until the next sweep asks again."""
    undecided = finding.liveness is Liveness.UNKNOWN and finding.action not in {MISSING, LOST}
    return undecided and finding.why != ASKED_AGAIN


def log_tasks(report: SweepReport, told: Collection[Finding]) -> None:
    """One line for each task that something was done to, one for each worker that is unknown, and the sum.

    What the pass before has `told` is not said again.
    """
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
