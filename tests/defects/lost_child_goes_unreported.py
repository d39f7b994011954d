"""A failure that no attempt reports is not recorded: a worker that reports for its killed child has none."""

from typing import Any

from reference_impl import signals


def apply() -> None:
    failed = signals.Handlers._failed

    def of_an_attempt(self: signals.Handlers, task_id: str, sender: Any, **given: Any) -> None:
        if signals._owner(task_id, sender).attempt_id is not None:
            failed(self, task_id, sender, **given)

    signals.Handlers._failed = of_an_attempt
