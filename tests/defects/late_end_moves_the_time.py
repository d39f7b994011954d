"""A late end is refused, and yet the time of completion is moved to it."""

from typing import Any

from reference_impl import registry, reports
from reference_impl.lifecycle import ENDED, Failed, Refusal, Succeeded


def apply() -> None:
    columns = registry.columns

    def and_touch(report: reports.Report, decision: Any, row: Any, at: Any) -> tuple[dict[str, Any], str | None]:
        values, remark = columns(report, decision, row, at)
        if isinstance(decision, Refusal) and isinstance(report.event, Succeeded | Failed) and row.status in ENDED:
            return {"completed_at": at}, remark
        return values, remark

    registry.columns = and_touch
