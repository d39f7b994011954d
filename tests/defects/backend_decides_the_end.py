"""A result that the result backend could not take makes the task fail."""

from typing import Any

from celery import states
from celery.backends.base import Backend

from reference_impl import backend


def apply() -> None:
    def done(self: Any, task_id: str, stored: Any, request: Any, state: str = states.SUCCESS) -> None:
        Backend.mark_as_done(self, task_id, stored, request, True, state)

    backend._Keeping._done = done  # type: ignore[method-assign]
