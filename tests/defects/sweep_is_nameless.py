"""A sweep says that it was a sweep, and not at which node."""

from typing import Any

from reference_impl import worker
from reference_impl.sweep import sweep


def apply() -> None:
    def nameless(*given: Any, **named: Any) -> Any:
        return sweep(*given, **named | {"by": "sweep"})

    worker.sweep = nameless
