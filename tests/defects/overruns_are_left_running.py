"""A task that overruns is said to be ended, and its worker is not told to terminate it."""

from typing import Any

from reference_impl import sweep


def apply() -> None:
    def unless_it_runs(this: Any, finding: Any) -> str:
        this.app.control.revoke(finding.task_id)
        return "asked to end"

    sweep._asked_to_end = unless_it_runs
