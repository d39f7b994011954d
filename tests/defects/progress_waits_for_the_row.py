"""Whoever ends a run cleans up store by store, and stops at the first that does not answer."""

from typing import Any

from reference_impl import agents
from reference_impl.agent_rows import Step


def apply() -> None:
    say = agents.Run._say
    tell = agents.Agents.tell_progress

    def and_note(run: agents.Run, step: Step, **more: str | None) -> None:
        before = run._agents.recorder.failures
        say(run, step, **more)
        run.row_is_away = run._agents.recorder.failures > before or run._agents.recorder._trouble

    def unless_the_row_is_away(self: agents.Agents, otherwise: str, run: Any, work: Any, **how: Any) -> None:
        if not run.row_is_away:
            tell(self, otherwise, run, work, **how)

    agents.Run._say = and_note
    agents.Agents.tell_progress = unless_the_row_is_away
