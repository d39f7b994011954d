"""A death counts when a sweep finds it: that of a child, whose worker lives on, never does."""

from typing import Any

from reference_impl import registry, reports


def apply() -> None:
    count_losses = registry._count_losses

    def of_sweeps(connection: Any, report: reports.Report, row: Any, _fate: Any) -> int:
        return count_losses(connection, report, row, registry._Fate.UNKNOWN)

    registry._count_losses = of_sweeps
