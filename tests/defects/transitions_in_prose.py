"""Transitions are told in sentences, which a person can read."""

from typing import TYPE_CHECKING

from reference_impl import closing, operations, registry, transitions
from reference_impl.lifecycle import Transition

if TYPE_CHECKING:
    from reference_impl.reports import Outcome, Report


def apply() -> None:
    def tell(report: "Report", outcome: "Outcome") -> None:
        if isinstance(outcome.decision, Transition):
            transitions.logger.info("tracking: task %s is %s", report.task_id, outcome.decision.to)
        for change in outcome.agents:
            transitions.logger.info("tracking: agent %s is %s", change.name, change.after)

    for module in (registry, closing, operations):
        module.tell = tell
