"""A revoked task has no time of completion: it did not complete, after all."""

from typing import Any

from reference_impl import columns
from reference_impl.lifecycle import RedeliveryOverdue, Revoked, WorkerLost


def apply() -> None:
    end = columns._end

    def without_time(report: Any, completed_at: Any) -> dict[str, Any]:
        values = end(report, completed_at)
        if isinstance(report.event, Revoked | WorkerLost | RedeliveryOverdue):
            values["completed_at"] = None
        return values

    columns._end = without_time
