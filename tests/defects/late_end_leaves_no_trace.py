"""An end that comes too late is dropped, and nobody learns that the work was done."""

from typing import Any

from reference_impl import registry, reports
from reference_impl.lifecycle import Failed, Refusal, Succeeded


def apply() -> None:
    audit = registry._audit

    def unless_late(connection: Any, report: reports.Report, decision: Any, *rest: Any) -> None:
        if not (isinstance(decision, Refusal) and isinstance(report.event, Succeeded | Failed)):
            audit(connection, report, decision, *rest)

    registry._audit = unless_late
