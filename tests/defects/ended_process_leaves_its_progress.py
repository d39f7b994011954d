"""A run whose process is told to end drops no progress any more, and sweeps let rows go only."""

from typing import Any

from reference_impl import agents, agreement


def apply() -> None:
    end = agents.Run.end
    let_go = agreement._let_go

    def unless_the_process_ends(run: agents.Run, error: BaseException | None) -> None:
        if error is None or isinstance(error, Exception):
            end(run, error)

    def rows_only(engine: Any, progress: Any, found: Any) -> bool:
        return found.kind is not agreement.Kind.PROGRESS_WITHOUT_TASK and let_go(engine, progress, found)

    agents.Run.end = unless_the_process_ends
    agreement._let_go = rows_only
