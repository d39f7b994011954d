"""The agent is let go behind the work, where nobody comes when the work fails; and failures are not looked for."""

from typing import Any

from reference_impl import agents, agreement, registry
from reference_impl.agent_rows import abandon
from reference_impl.lifecycle import Failed, Revoked


def apply() -> None:
    end = agents.Run.end
    move = registry._move_agents

    def after_success(run: agents.Run, error: BaseException | None) -> None:
        if error is None:
            end(run, error)

    def but_not_by_failure(connection: Any, report: Any, *args: Any) -> Any:
        return () if isinstance(report.event, Failed | Revoked) else move(connection, report, *args)

    agents.Run.end = after_success
    registry._move_agents = but_not_by_failure
    registry.abandon = abandon
    agreement.abandon_run = lambda *_: False
