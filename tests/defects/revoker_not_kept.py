"""A revoked record does not tell which worker discarded or terminated the task."""

from typing import Any

from reference_impl import columns
from reference_impl.lifecycle import Revoked


def apply() -> None:
    end = columns._end

    def nobody(report: Any, completed_at: Any) -> dict[str, Any]:
        values = end(report, completed_at)
        return values | {"ended_by": None} if isinstance(report.event, Revoked) else values

    columns._end = nobody
