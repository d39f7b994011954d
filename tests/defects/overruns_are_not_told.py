"""How long a task may take is known to metrics, and sweeps do not ask."""

from typing import Any

from reference_impl import sweep


def apply() -> None:
    watched = sweep._watched

    def stuck_only(this: Any, row: Any, finding: Any, **how: Any) -> Any:
        settings = this.settings.model_copy(update={"allowed_s": None, "task_allowed_s": {}})
        return watched(sweep.replace(this, settings=settings), row, finding, **how)

    sweep._watched = stuck_only
