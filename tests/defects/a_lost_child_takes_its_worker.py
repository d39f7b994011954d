"""A worker that has lost one child reports every task that it executes as lost with it."""

from typing import Any

from billiard.exceptions import WorkerLostError
from celery.worker import state

from reference_impl import signals


def apply() -> None:
    failed = signals.Handlers._failed

    def with_all_others(
        self: signals.Handlers, task_id: str, sender: Any, exception: BaseException, **given: Any
    ) -> None:
        failed(self, task_id, sender, exception, **given)
        if isinstance(exception, WorkerLostError):
            for request in list(state.active_requests):
                failed(self, request.id, request.task, exception)

    signals.Handlers._failed = with_all_others
