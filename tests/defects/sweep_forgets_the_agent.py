"""A sweep closes the record of a dead worker's task, and does not know that an agent ran by it."""

from typing import Any

from reference_impl import agreement, registry
from reference_impl.lifecycle import WorkerLost


def apply() -> None:
    move = registry._move_agents

    def but_not_by_sweeps(connection: Any, report: Any, *args: Any) -> Any:
        return () if isinstance(report.event, WorkerLost) else move(connection, report, *args)

    registry._move_agents = but_not_by_sweeps
    agreement.abandon_run = lambda *_: False
