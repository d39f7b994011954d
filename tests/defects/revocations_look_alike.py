"""The record of a task that expired, or was terminated, says no more than that it was revoked."""

from typing import Any

from reference_impl import columns
from reference_impl.lifecycle import Revoked


def apply() -> None:
    end = columns._end

    def alike(report: Any, completed_at: Any) -> dict[str, Any]:
        values = end(report, completed_at)
        return values | {"error_message": "revoked"} if isinstance(report.event, Revoked) else values

    columns._end = alike
