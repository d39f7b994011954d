"""Celery's signals, translated into reports. Each handler is guarded: what fails here stays here."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from celery import Celery, signals

from reference_impl import incarnation
from reference_impl.guard import guard_tasks
from reference_impl.lifecycle import Failed, Owner, Published, Retrying, Revoked, Started, Succeeded
from reference_impl.recorder import Recorder, guarded
from reference_impl.registry import Arguments, Report
from reference_impl.settings import Settings
from reference_impl.storable import readable, storable
from reference_impl.worker import Sweeper

logger = logging.getLogger(__name__)

_FLUSH_S = 2.0
_REASONS = {
    "WorkerLostError": "worker-lost",
    "TimeLimitExceeded": "time-limit",
    "SoftTimeLimitExceeded": "soft-time-limit",
    "EncodeError": "unserialisable-result",
}


class Handlers:
    """The tracker's side of every signal, for one application."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._recorder = Recorder(settings)
        self._sweeper: Sweeper | None = None
        self._warned_of_unknown_worker = False

    def connect(self) -> None:
        """Listen to the signals of every process that loads the application."""
        for signal, handler in (
            (signals.before_task_publish, guarded("publish")(self._published)),
            (signals.task_prerun, guarded("prerun")(self._started)),
            (signals.task_success, guarded("success")(self._succeeded)),
            (signals.task_failure, guarded("failure")(self._failed)),
            (signals.task_retry, guarded("retry")(self._retrying)),
            (signals.task_revoked, guarded("revoked")(self._revoked)),
            (signals.celeryd_init, guarded("worker start")(self._worker_starts)),
            (signals.worker_init, guarded("worker tasks")(self._tasks_loaded)),
            (signals.worker_ready, guarded("worker ready")(self._worker_ready)),
            (signals.worker_process_shutdown, guarded("child shutdown")(self._flush)),
            (signals.worker_shutdown, guarded("worker shutdown")(self._worker_stops)),
        ):
            signal.connect(handler, weak=False)
        atexit.register(self._flush)

    def _published(self, headers: Mapping[str, Any], body: Any, **_: object) -> None:
        task_id, name = headers.get("id"), headers.get("task")
        if task_id is None:
            return
        retries = int(headers.get("retries") or 0)
        self._recorder.record(
            Report(
                task_id,
                Published(retries),
                who=self._who(),
                why="published its own retry" if retries else "published",
                task_name=name,
                arguments=_fixed(self._stored_arguments(*body[:2])),
                eta=_moment(headers.get("eta")),
            )
        )

    def _started(self, task_id: str, task: Any, args: Any, kwargs: Any, **_: object) -> None:
        request = task.request
        identity = incarnation.current()
        redelivered = bool((request.delivery_info or {}).get("redelivered"))
        owner = Owner(identity.incarnation_id if identity else None, uuid4())
        request.tracking_attempt = owner.attempt_id
        report = Report(
            task_id,
            Started(owner),
            who=self._who(),
            why="redelivered and started" if redelivered else "started",
            task_name=task.name,
            worker_id=self._worker_id(request),
            worker_pid=os.getpid(),
            arguments=lambda: self._stored_arguments(args, kwargs),
            acks_late=bool(task.acks_late),
            redelivered=redelivered,
        )
        request.tracking_again = partial(self._recorder.record, report)
        request.tracking_start = self._recorder.record(report)

    def _succeeded(self, sender: Any, result: object, **_: object) -> None:
        request = sender.request
        self._recorder.record(
            Report(
                request.id,
                Succeeded(_owner(request.id, sender)),
                who=self._who(),
                why="returned",
                task_name=sender.name,
                result=self._stored_result(result),
            )
        )

    def _failed(self, task_id: str, sender: Any, exception: BaseException, **_: object) -> None:
        kind = type(exception).__name__
        self._recorder.record(
            Report(
                task_id,
                Failed(_owner(task_id, sender)),
                who=self._who(),
                why=f"failed with {kind}",
                task_name=sender.name,
                error_type=kind,
                error_message=readable(exception),
                reason=_REASONS.get(kind, "exception"),
            )
        )

    def _retrying(self, sender: Any, request: Any, reason: Any, **_: object) -> None:
        cause = getattr(reason, "exc", None)
        self._recorder.record(
            Report(
                request.id,
                Retrying(_owner(request.id, sender)),
                who=self._who(),
                why="asked for a retry",
                task_name=sender.name,
                error_type=type(cause).__name__ if cause else None,
                error_message=readable(cause) if cause else readable(reason),
            )
        )

    def _revoked(self, sender: Any, request: Any, terminated: bool, signum: Any, expired: bool, **_: object) -> None:
        how = "expired" if expired else f"terminated with {signum}" if terminated else "revoked before it ran"
        self._recorder.record(
            Report(
                request.id,
                Revoked(terminated=bool(terminated)),
                who=self._who(),
                why=how,
                task_name=sender.name,
                reason="expired" if expired else "revoked",
                error_message=how,
            )
        )

    def _worker_starts(self, sender: str, **_: object) -> None:
        self._sweeper = Sweeper(self._app, self._settings, incarnation.become(sender))
        self._sweeper.register()

    def _tasks_loaded(self, **_: object) -> None:
        guard_tasks(self._app, self._settings)

    def _worker_ready(self, **_: object) -> None:
        if self._sweeper is not None:
            self._sweeper.start()

    def _worker_stops(self, **_: object) -> None:
        if self._sweeper is not None:
            self._sweeper.stop()
        self._flush()

    def _flush(self, **_: object) -> None:
        self._recorder.flush(_FLUSH_S)

    def _stored_arguments(self, args: object, kwargs: object) -> Arguments:
        limit, masked = self._settings.stored_arguments_bytes, self._settings.masked_names
        return (
            storable(args, limit_bytes=limit, masked_names=masked),
            storable(kwargs, limit_bytes=limit, masked_names=masked),
        )

    def _stored_result(self, result: object) -> Any:
        limit, masked = self._settings.stored_result_bytes, self._settings.masked_names
        return storable(result, limit_bytes=limit, masked_names=masked)

    def _who(self) -> str:
        identity = incarnation.current()
        return identity.node if identity else f"client {os.getpid()}"

    def _worker_id(self, request: Any) -> str | None:
        """The node name as `inspect` reports it; an eager execution only has one inside a worker."""
        if not request.is_eager:
            return str(request.hostname)
        identity = incarnation.current()
        if identity is not None:
            return identity.node
        if not self._warned_of_unknown_worker:
            self._warned_of_unknown_worker = True
            logger.warning("tracking: tasks run eagerly in this process, outside any worker: worker_id stays empty")
        return None


def _owner(task_id: str, task: Any) -> Owner:
    """Who reports an end: an execution knows its attempt, a worker's main process only its incarnation."""
    identity = incarnation.current()
    request = task.request
    attempt: UUID | None = getattr(request, "tracking_attempt", None) if request.id == task_id else None
    return Owner(identity.incarnation_id if identity else None, attempt)


def _fixed(arguments: Arguments) -> Any:
    return lambda: arguments


def _moment(eta: object) -> datetime | None:
    return datetime.fromisoformat(eta) if isinstance(eta, str) else None
