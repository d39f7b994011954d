"""Progress of a task that the registry does not know as executed is of nobody, whoever has written it."""

from typing import Any

from reference_impl import agreement, sweep
from reference_impl.agreement import mend


def apply() -> None:
    agreement._holding_leases = lambda *_: set()

    def of_nobody(engine: Any, progress: Any, **how: Any) -> Any:
        return mend(engine, progress, **how | {"alive": ()})

    sweep.mend = of_nobody
