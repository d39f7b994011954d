"""A lost child is left to the sweep, which finds its worker alive and does nothing."""

from typing import Any

from reference_impl import signals


def apply() -> None:
    failed = signals.Handlers._failed

    def unless_lost(self: signals.Handlers, task_id: str, sender: Any, exception: BaseException, **given: Any) -> None:
        if type(exception).__name__ != "WorkerLostError":
            failed(self, task_id, sender, exception, **given)

    signals.Handlers._failed = unless_lost
