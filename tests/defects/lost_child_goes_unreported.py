"""A failure that no attempt reports is not recorded, and nobody looks for the child while its worker lives.

A worker that reports for its killed child has no attempt, and its child has told nothing.
"""

from typing import Any

from reference_impl import signals, sweep
from reference_impl.liveness import Liveness


def apply() -> None:
    failed = signals.Handlers._failed

    def of_an_attempt(self: signals.Handlers, task_id: str, sender: Any, **given: Any) -> None:
        if signals._owner(task_id, sender).attempt_id is not None:
            failed(self, task_id, sender, **given)

    signals.Handlers._failed = of_an_attempt
    sweep._judge_own = lambda _row: (Liveness.ALIVE, "it makes this sweep itself")
