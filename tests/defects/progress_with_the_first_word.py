"""Progress is made when a run first tells of it, so a run that has just begun has none."""

from reference_impl import agents
from reference_impl.agent_rows import Step


def apply() -> None:
    def begin(run: agents.Run) -> None:
        run._say(Step.BEGINS)
        agents._memories[run.name] = run.memory

    agents.Run.begin = begin
