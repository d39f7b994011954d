"""The agent names its task, and the record of the task has no place for the agent."""

from typing import Any

from reference_impl import columns


def apply() -> None:
    completed = columns._completed

    def without_agent(*args: Any) -> Any:
        values, remark = completed(*args)
        return {name: value for name, value in values.items() if name != "agent"}, remark

    columns._completed = without_agent
