"""The agent names its task, and the record of the task has no place for the agent."""

from typing import Any

from reference_impl import registry


def apply() -> None:
    completed = registry._completed

    def without_agent(*args: Any) -> Any:
        values, remark = completed(*args)
        return {name: value for name, value in values.items() if name != "agent"}, remark

    registry._completed = without_agent
