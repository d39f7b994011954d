"""A task that starts again is still said to have been attempted once."""

from typing import Any

from reference_impl import columns


def apply() -> None:
    start = columns._start

    def first(report: Any, row: Any, started_at: Any) -> dict[str, Any]:
        return start(report, row, started_at) | {"attempts": 1}

    columns._start = first
