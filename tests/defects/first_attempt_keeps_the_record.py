"""The record belongs to the attempt that began it: what a redelivery's attempt says of its end is refused."""

from typing import Any

from reference_impl import columns, reports


def apply() -> None:
    start = columns._start

    def keep_the_owner(report: reports.Report, row: Any, started_at: Any) -> dict[str, Any]:
        values = start(report, row, started_at)
        if row.attempt_id is not None:
            del values["attempt_id"]
        return values

    columns._start = keep_the_owner
