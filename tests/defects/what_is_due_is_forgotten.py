"""A file that could not be written is not written later either."""

from typing import Any

from reference_impl import worker


def apply() -> None:
    def nothing(*_: Any) -> None:
        return

    worker.tend = nothing
