"""Progress is dropped by the run that made it, and by nobody where that run's process was ended."""

from typing import Any

from reference_impl import agreement


def apply() -> None:
    let_go = agreement._let_go

    def rows_only(engine: Any, progress: Any, found: Any) -> bool:
        return found.kind is not agreement.Kind.PROGRESS_WITHOUT_TASK and let_go(engine, progress, found)

    agreement._let_go = rows_only
