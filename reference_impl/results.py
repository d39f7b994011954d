"""The result backend, asked and told within a bound: Celery itself may wait for it without end.

A process may have stored the end of a task there and died before it told the tracker. That end is true, and
whoever asked for the result has it already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery, states
from celery.app.task import Context
from celery.backends.base import Backend

from reference_impl.bounded import NotInTimeError, within
from reference_impl.waiters import tell_done, tell_failed, tell_revoked

_CLOCKS_AGREE = timedelta(seconds=5)
"""By so much a worker's clock may be behind the database's."""


class NoAnswerError(Exception):
    """The result backend did not answer in time, or failed."""


class DeliveryLostError(Exception):
    """No queue and no worker has the task's message; it may be published again."""


@dataclass(frozen=True)
class StoredEnd:
    """An end as it was stored: `value` is the result, or the exception of a failure; `at` is aware."""

    succeeded: bool
    value: Any
    at: datetime


class ResultBackend:
    """That of one application, for one pass: after it has once not answered in time it is not asked again."""

    def __init__(self, app: Celery, patience_s: float) -> None:
        self._app = app
        self._patience_s = patience_s
        self._hangs = False

    def end_of(self, task_id: str, since: datetime) -> StoredEnd | None:
        """The task's stored end since a moment; None where there is none, or none that is kept. Raises NoAnswerError.

        An earlier one is of another run under the same id.
        """
        if self._app.conf.result_backend in {None, "disabled"}:
            return None
        meta = self._within_bound(lambda backend: backend.get_task_meta(task_id))
        at = _aware(meta.get("date_done"))
        if meta["status"] not in {states.SUCCESS, states.FAILURE} or at is None or at < since - _CLOCKS_AGREE:
            return None
        return StoredEnd(meta["status"] == states.SUCCESS, meta.get("result"), at)

    def tell_done(self, task_id: str, value: object, waiters: Mapping[str, Any] | None) -> None:
        """Tell whoever waits of a result that the backend could not take when its task ended. Raises NoAnswerError."""
        self._within_bound(lambda backend: tell_done(backend, task_id, value, waiters))

    def tell_failed(self, task_id: str, kind: str, message: str, waiters: Mapping[str, Any] | None) -> None:
        """The same of a failure. Raises NoAnswerError."""
        self._within_bound(lambda backend: tell_failed(backend, task_id, kind, message, waiters))

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
        try:
            backend = self._app.backend  # this thread's own, with its connections: the other one only waits for it
            return within(self._patience_s, "result backend", lambda: work(backend))
        except NotInTimeError as error:
            self._hangs = True
            raise NoAnswerError(str(error)) from error
        except Exception as error:
            raise NoAnswerError(f"{type(error).__name__}: {error}") from error


def _aware(stored: object) -> datetime | None:
    """Celery stores the moment in UTC, with or without saying so."""
    moment = datetime.fromisoformat(stored) if isinstance(stored, str) else stored
    if not isinstance(moment, datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
