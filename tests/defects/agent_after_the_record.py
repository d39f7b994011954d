"""The record is closed and committed before the agent is let go, and nobody looks for agents of closed records."""

from typing import Any

from reference_impl import agent_rows, agreement, closing, registry
from reference_impl.lifecycle import WorkerLost


def apply() -> None:
    move = registry._move_agents
    take_away = closing._take_away

    def not_here(connection: Any, report: Any, *args: Any) -> Any:
        return () if isinstance(report.event, WorkerLost) else move(connection, report, *args)

    def and_then_the_agent(this: Any, row: Any, finding: Any) -> Any:
        done = take_away(this, row, finding)
        with this.engine.begin() as connection:
            agent_rows.abandon(connection, row.task_id, done.why, None)
        return done

    registry._move_agents = not_here
    closing._take_away = and_then_the_agent
    agreement.abandon_run = lambda *_: False
