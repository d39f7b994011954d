"""The last progress of a run stays, for whoever still wants to look at it."""

from reference_impl.agent_progress import AgentProgress


def apply() -> None:
    AgentProgress.drop = AgentProgress.drop_entry = lambda *_: False
