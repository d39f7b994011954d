"""A sweep closes the record and the agent's row, and does not look into Redis."""

from typing import Any

from reference_impl import agreement, sweep


def apply() -> None:
    def of_the_database(engine: Any, _progress: Any, **how: Any) -> Any:
        return agreement.mend(engine, None, **how)

    sweep.mend = of_the_database
