"""A result that the result backend could not take is stored there later, and the chord is not told of it."""

from collections.abc import Mapping
from typing import Any

from celery import states
from celery.backends.base import Backend

from reference_impl import results


def apply() -> None:
    def tell_done(backend: Backend, task_id: str, value: object, _waiters: Mapping[str, Any] | None) -> None:
        backend.store_result(task_id, value, states.SUCCESS)

    results.tell_done = tell_done
