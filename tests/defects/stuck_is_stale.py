"""A task without progress is taken for dead, whatever its worker says, and closed."""

from typing import Any

from reference_impl import closing, sweep, sweep_report
from reference_impl.liveness import Liveness


def apply() -> None:
    judge = sweep._judge

    def by_progress(row: Any, *arguments: Any, **options: Any) -> tuple[Liveness, str]:
        return (Liveness.DEAD, "it makes no progress") if row.stuck else judge(row, *arguments, **options)

    def own_too(*arguments: Any, own: object, **options: Any) -> sweep_report.SweepReport:
        return swept(*arguments, **options)

    from reference_impl import worker  # noqa: PLC0415 - after the patch's own module

    swept = sweep.sweep
    worker.sweep = own_too
    sweep._judge = by_progress
    closing._still_dead = lambda _connection, _incarnation_id: True
