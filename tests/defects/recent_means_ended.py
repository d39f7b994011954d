"""Tasks that are executed are not shown."""

from typing import Any

from reference_impl import sitrep


def apply() -> None:
    def nothing(*_: Any) -> list[Any]:
        return []

    sitrep.running = nothing
