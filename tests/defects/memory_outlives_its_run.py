"""An agent remembers its last run when it is over."""

from reference_impl import agents


def apply() -> None:
    end = agents.Run.end

    def and_remember(run: agents.Run, error: BaseException | None) -> None:
        remembered = dict(run.memory)
        end(run, error)
        agents._memories[run.name] = remembered

    agents.Run.end = and_remember
