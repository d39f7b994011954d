"""What a stopping worker cancels is a retry, as Celery calls it, and one that never comes: it waits for ever."""

from typing import Any

from reference_impl import signals
from reference_impl.lifecycle import Owner, Retrying
from reference_impl.reports import Report


def apply() -> None:
    def retrying(self: signals.Handlers, task: Any, request: Any) -> None:
        owner = Owner(signals.incarnation.current_id(), None)
        self._recorder.record(
            Report(request.id, Retrying(owner), who=self._who(), why="cancelled", task_name=task.name)
        )

    signals.Handlers._cancelled = retrying
