"""The result backend, asked and told within a bound: Celery itself may wait for it without end.

A process may have stored the end of a task there and died before it told the tracker. That end is true, and
whoever asked for the result has it already.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery, states
from celery.app.task import Context
from celery.backends.base import Backend

from reference_impl.waiters import tell_revoked


class NoAnswerError(Exception):
    """The result backend did not answer in time, or failed."""


class DeliveryLostError(Exception):
    """No queue and no worker has the task's message; it may be published again."""


@dataclass(frozen=True)
class StoredEnd:
    """An end as it was stored: `value` is the result, or the exception of a failure."""

    succeeded: bool
    value: Any


class ResultBackend:
    """That of one application, for one pass: after it has once not answered in time it is not asked again."""

    def __init__(self, app: Celery, patience_s: float) -> None:
        self._app = app
        self._patience_s = patience_s
        self._hangs = False

    def end_of(self, task_id: str) -> StoredEnd | None:
        """The task's stored end; None where there is none, or none that is kept. Raises NoAnswerError."""
        if self._app.conf.result_backend in {None, "disabled"}:
            return None
        meta = self._within_bound(lambda backend: backend.get_task_meta(task_id, cache=False))
        if meta["status"] not in {states.SUCCESS, states.FAILURE}:
            return None
        return StoredEnd(meta["status"] == states.SUCCESS, meta.get("result"))

    def tell_revoked(self, task_id: str, reason: str, waiters: Mapping[str, Any] | None) -> None:
        """Tell whoever waits for the task that it was revoked. Raises NoAnswerError."""
        self._within_bound(lambda backend: tell_revoked(backend, task_id, reason, waiters))

    def tell_lost(self, task_id: str, reason: str) -> None:
        """Tell whoever waits for the task that its message was lost. Raises NoAnswerError."""
        request = Context({"id": task_id, "delivery_info": {}})
        failure = DeliveryLostError(reason)
        self._within_bound(
            lambda backend: backend.mark_as_failure(task_id, failure, request=request, call_errbacks=False)
        )

    def _within_bound(self, work: Callable[[Backend], Any]) -> Any:
        if self._hangs:
            raise NoAnswerError("it did not answer before")
        done: list[Any] = []
        failed: list[Exception] = []
        try:
            backend = self._app.backend  # this thread's own, with its connections: the other one only waits for it
        except Exception as error:
            raise NoAnswerError(f"{type(error).__name__}: {error}") from error

        def attempt() -> None:
            try:
                done.append(work(backend))
            except Exception as error:  # noqa: BLE001 - the caller gets it
                failed.append(error)

        thread = threading.Thread(target=attempt, name="celery-tracker result backend", daemon=True)
        thread.start()
        thread.join(self._patience_s)
        if failed:
            raise NoAnswerError(f"{type(failed[0]).__name__}: {failed[0]}") from failed[0]
        if not done:
            self._hangs = True
            raise NoAnswerError(f"no answer within {self._patience_s:g} s")
        return done[0]
