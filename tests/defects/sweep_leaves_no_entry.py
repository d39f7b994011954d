"""What a sweep does is not in the trail."""

from typing import Any

from reference_impl import registry
from reference_impl.lifecycle import WorkerLost


def apply() -> None:
    audit = registry._audit

    def signals_only(connection: Any, report: Any, *rest: Any) -> None:
        if not isinstance(report.event, WorkerLost):
            audit(connection, report, *rest)

    registry._audit = signals_only
