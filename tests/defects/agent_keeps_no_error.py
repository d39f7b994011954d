"""An agent becomes idle after a failure as after a success, and nothing tells the two apart."""

from typing import Any

from reference_impl import agents, registry
from reference_impl.agent_rows import abandon


def apply() -> None:
    end = agents.Run.end
    agents.Run.end = lambda run, _: end(run, None)

    def in_silence(connection: Any, task_id: str, error: str | None, at: Any) -> Any:
        return abandon(connection, task_id, None, at)

    registry.abandon = in_silence
