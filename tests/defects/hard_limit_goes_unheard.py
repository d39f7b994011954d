"""Failures are recorded where tasks are executed: that of a hard limit is told by the main process, and lost."""

from typing import Any

from celery.exceptions import TimeLimitExceeded

from reference_impl import signals


def apply() -> None:
    failed = signals.Handlers._failed

    def in_the_child(self: signals.Handlers, task_id: str, sender: Any, exception: BaseException, **given: Any) -> None:
        if not isinstance(exception, TimeLimitExceeded):
            failed(self, task_id, sender, exception, **given)

    signals.Handlers._failed = in_the_child
