"""A task that starts again is still said to have been attempted once."""

from typing import Any

from reference_impl import registry


def apply() -> None:
    start = registry._start

    def first(report: Any, row: Any, started_at: Any) -> dict[str, Any]:
        return start(report, row, started_at) | {"attempts": 1}

    registry._start = first
