"""A dead life condemns every task under its node name, those of the name's new life included."""

from typing import Any

from reference_impl import closing, sweep, sweep_report, worker
from reference_impl.liveness import Liveness

condemned: set[str] = set()
judge_incarnation = sweep._judge


def judge_name(row: Any, *arguments: Any, **options: Any) -> tuple[Liveness, str]:
    liveness, why = judge_incarnation(row, *arguments, **options)
    if liveness is Liveness.DEAD:
        condemned.add(row.worker_id)
    return (Liveness.DEAD, "its node died") if row.worker_id in condemned else (liveness, why)


def sweep_by_name(*arguments: Any, own: object, **options: Any) -> sweep_report.SweepReport:
    return sweep.sweep(*arguments, **options)


def apply() -> None:
    worker.sweep = sweep_by_name
    sweep._judge = judge_name
    closing._still_dead = lambda _connection, _incarnation_id: True
