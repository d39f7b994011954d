"""Celery's signals, translated into reports. Each handler is guarded: what fails here stays here."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from celery import Celery, signals, states
from celery.app.task import get_actual_ignore_result
from celery.backends.base import BaseKeyValueStoreBackend
from celery.exceptions import Reject, SoftTimeLimitExceeded, TimeLimitExceeded

from reference_impl import incarnation
from reference_impl.agents import Agents
from reference_impl.backend import expires_s, kept_result
from reference_impl.guard import guard_tasks, is_guarded
from reference_impl.lifecycle import (
    Cancelled,
    Failed,
    HandedBack,
    Ignored,
    NotPublished,
    Owner,
    Progressed,
    Published,
    Received,
    Retrying,
    Revoked,
    Started,
    Succeeded,
    Transition,
)
from reference_impl.masking import masked
from reference_impl.messages import Message
from reference_impl.mishaps import guarded
from reference_impl.progress import never_back, shown, tell_progress
from reference_impl.publications import tell_failed_publications
from reference_impl.recorder import Recorder
from reference_impl.registry import NOT_PUBLISHED
from reference_impl.reports import Arguments, Report
from reference_impl.settings import Policy, Settings
from reference_impl.storable import readable, storable
from reference_impl.stored_results import Kept, untold_failure
from reference_impl.ticket import Ticket
from reference_impl.waiters import tell_revoked, waiting_for
from reference_impl.worker import Sweeper

logger = logging.getLogger(__name__)

OWNER_HEADER = "tracking_owner"
"""The message header that says whose task it is, as in `apply_async(headers={"tracking_owner": "alice"})`."""
ANNOUNCED_HEADER = "tracking_announced"
"""The message header that says that the task's publication has been sent to the registry, before the message."""

_FLUSH_S = 2.0
_KEEPING = frozenset({Policy.REQUEUE, Policy.REPORT})
_REASONS = {
    "WorkerLostError": "worker-lost",
    "TimeLimitExceeded": "time-limit",
    "SoftTimeLimitExceeded": "soft-time-limit",
    "EncodeError": "unserialisable-result",
    "Reject": "rejected",
    "LostTooOftenError": "lost-too-often",
}


class Handlers:
    """The tracker's side of every signal, for one application."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._recorder = Recorder(settings)
        app.tracking_agents = Agents(app, settings, self._recorder, self._who)
        self._sweeper: Sweeper | None = None
        self._publications: WeakValueDictionary[str, Ticket] = WeakValueDictionary()
        self._warned_of_unknown_worker = False
        self._patient_until: float | None = None

    def connect(self) -> None:
        """Listen to the signals of every process that loads the application."""
        for signal, handler in (
            (signals.before_task_publish, guarded("publish")(self._published)),
            (signals.after_task_publish, guarded("published")(self._publication_sent)),
            (signals.task_received, guarded("received")(self._received)),
            (signals.task_prerun, guarded("prerun")(self._started)),
            (signals.task_success, guarded("success")(self._succeeded)),
            (signals.task_failure, guarded("failure")(self._failed)),
            (signals.task_retry, guarded("retry")(self._retrying)),
            (signals.task_revoked, guarded("revoked")(self._revoked)),
            (signals.task_postrun, guarded("postrun")(self._left)),
            (signals.task_unknown, guarded("unknown task")(self._unknown)),
            (signals.task_internal_error, guarded("internal error")(self._failed_outside)),
            (signals.celeryd_init, guarded("worker start")(self._worker_starts)),
            (signals.worker_init, guarded("worker tasks")(self._tasks_loaded)),
            (signals.worker_ready, guarded("worker ready")(self._worker_ready)),
            (signals.worker_process_shutdown, guarded("child shutdown")(self._flush)),
            (signals.worker_shutdown, guarded("worker shutdown")(self._worker_stops)),
        ):
            signal.connect(handler, weak=False)
        tell_failed_publications(self._app, guarded("failed publication")(self._not_published))
        atexit.register(self._flush)

    def _published(self, headers: dict[str, Any], body: Any, declare: Any = None, **_: object) -> None:
        """Send the publication ahead of its message: the database writes it while Celery is busy with the broker."""
        task_id, name = headers.get("id"), headers.get("task")
        if task_id is None:
            return
        retries = int(headers.get("retries") or 0)
        ticket = self._publications[task_id] = self._recorder.begin(
            Report(
                task_id,
                Published(retries),
                who=self._who(),
                why="published its own retry" if retries else "published",
                task_name=name,
                arguments=_fixed(self._stored_arguments(*body[:2])),
                owner=headers.get(OWNER_HEADER),
                queue=_queue(declare),
                eta=_moment(headers.get("eta")),
            )
        )
        if retries:  # there is a record, which must have been looked at when the message is delivered
            self._recorder.finish(ticket)
        if not ticket.kept:
            headers[ANNOUNCED_HEADER] = True

    def _publication_sent(self, headers: Mapping[str, Any] | None = None, **_: object) -> None:
        """Whoever has published a task finds its record."""
        self._finish_publication((headers or {}).get("id"))

    def _finish_publication(self, task_id: str | None) -> None:
        ticket = self._publications.pop(task_id, None) if task_id is not None else None
        if ticket is not None:
            self._recorder.finish(ticket)

    def _not_published(self, task_id: str, name: str, error: Exception, **_: object) -> None:
        self._finish_publication(task_id)
        kind = type(error).__name__
        self._recorder.record(
            Report(
                task_id,
                NotPublished(),
                who=self._who(),
                why=f"publishing failed with {kind}",
                task_name=name,
                error_type=kind,
                error_message=f"it was not published: {self._said(error)}",
                reason=NOT_PUBLISHED,
            )
        )

    def _received(self, request: Any, **_: object) -> None:
        """Keep the message where a sweep, or who reads its report, may have to send it again; no more is told of it."""
        if self._settings.policy_for(request.name, acks_late=bool(request.task.acks_late)) not in _KEEPING:
            return
        message = Message.received(request.message, limit_bytes=self._settings.stored_message_bytes)
        self._recorder.record(
            Report(request.id, Received(), self._who(), "received", task_name=request.name, message=message)
        )

    def _started(self, task_id: str, task: Any, args: Any, kwargs: Any, **_: object) -> None:
        """Send the start ahead of the execution: the database writes it while Celery tells its result backend."""
        request = task.request
        redelivered = bool((request.delivery_info or {}).get("redelivered"))
        owner = Owner(incarnation.current_id(), uuid4())
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
            owner=getattr(request, OWNER_HEADER, None),
            acks_late=bool(task.acks_late),
            redelivered=redelivered,
            announced=_is_announced(request),
            waiters=waiting_for(request, limit_bytes=self._settings.stored_message_bytes),
        )
        request.tracking_again = partial(self._recorder.record, report)
        ticket = request.tracking_start = self._recorder.begin(report)
        request.tracking_settle = partial(self._recorder.finish, ticket)
        if not is_guarded(task):
            request.tracking_settle()

    def _progressed(self, sender: Any, state: str, meta: object, **_: object) -> None:
        request = sender.request
        if getattr(request, "tracking_attempt", None) is None:
            return
        form, remarks = shown(meta)
        if remarks and not getattr(request, "tracking_remarked", False):
            request.tracking_remarked = True  # once for each execution: it will say so again and again
            logger.warning("tracking: progress of task %s[%s]: %s", sender.name, request.id, "; ".join(remarks))
        if form:
            meta = request.tracking_progress = never_back(form, getattr(request, "tracking_progress", None))
        told = self._stored_result({"state": state, "meta": meta})
        owner = _owner(request.id, sender)
        self._recorder.note(
            Report(request.id, Progressed(owner), self._who(), "progress", task_name=sender.name, progress=told)
        )

    def _succeeded(self, sender: Any, result: object, **_: object) -> None:
        request = sender.request
        _settle_start(request)
        self._recorder.record(
            Report(
                request.id,
                Succeeded(_owner(request.id, sender)),
                who=self._who(),
                why="returned",
                task_name=sender.name,
                result=self._stored_result(result),
                kept=self._kept(sender, result),
            ),
            told_elsewhere=self._is_stored(request),
        )

    def _kept(self, task: Any, result: object) -> Kept | None:
        """The result itself, which the result backend has made ready; of an eager execution it was not asked to."""
        request = task.request
        if get_actual_ignore_result(task, request):
            return None
        if request.is_eager and not task.store_eager_result:
            return kept_result(self._app, self._settings, request.id, result)[1]
        kept: Kept | None = getattr(request, "tracking_kept", None)
        return kept

    def _is_stored(self, request: Any) -> bool:
        """Whether a sweep finds this end in the result backend, should its process die before it has told of it."""
        kept: Kept | None = getattr(request, "tracking_kept", None)
        return kept is not None and kept.told and isinstance(self._app.backend, BaseKeyValueStoreBackend)

    def _failed(
        self,
        task_id: str,
        sender: Any,
        exception: BaseException,
        reason: str = "exception",
        einfo: Any = None,
        **_: object,
    ) -> None:
        kind = type(exception).__name__
        _settle_start(sender.request)
        self._recorder.record(
            Report(
                task_id,
                Failed(_owner(task_id, sender)),
                who=self._who(),
                why=f"failed with {kind}",
                task_name=sender.name,
                error_type=kind,
                error_message=_limit(sender, exception) or self._said(exception),
                error_traceback=self._traceback(einfo),
                reason=_REASONS.get(kind, reason),
                kept=self._untold(sender),
            )
        )

    def _untold(self, task: Any) -> Kept | None:
        """That the result backend could not be told of a failure, where it could not."""
        return untold_failure(expires_s(self._app)) if getattr(task.request, "tracking_untold", False) else None

    def _failed_outside(self, task_id: str, sender: Any, exception: BaseException, **_: object) -> None:
        """Celery itself failed around the task's body, as when a result store refuses the result."""
        self._failed(task_id=task_id, sender=sender, exception=exception, reason="internal-error")

    def _left(self, task_id: str, sender: Any, state: str | None, retval: object, **_: object) -> None:
        """The ends of an execution for which Celery has no other signal: Ignore, and Reject with its message back."""
        _settle_start(sender.request)
        start: Ticket | None = getattr(sender.request, "tracking_start", None)
        refused = start is not None and start.outcome is not None and not start.outcome.may_run
        event: Ignored | HandedBack
        if state == states.IGNORED and not refused:
            event, why, reason = Ignored(_owner(task_id, sender)), "raised Ignore", "ignored"
        elif state == states.REJECTED and isinstance(retval, Reject) and retval.requeue:
            if not sender.acks_late:
                gone = Reject(f"{readable(retval)}; its message was acknowledged when it began (acks_late is off)")
                self._failed(task_id=task_id, sender=sender, exception=gone)
                return
            event, why, reason = HandedBack(_owner(task_id, sender)), "raised Reject(requeue=True)", "requeued"
        else:
            return
        self._recorder.record(Report(task_id, event, who=self._who(), why=why, task_name=sender.name, reason=reason))

    def _unknown(self, name: str, id: str, message: Any, **_: object) -> None:  # noqa: A002 - Celery's name
        self._recorder.record(
            Report(
                id,
                Failed(Owner(incarnation.current_id(), None)),
                who=self._who(),
                why="no such task is registered here",
                task_name=name,
                error_type="NotRegistered",
                error_message=f"the worker knows no task {readable(name)!r}",
                reason="unregistered",
                announced=bool((message.headers or {}).get(ANNOUNCED_HEADER)),
            )
        )

    def _retrying(self, sender: Any, request: Any, reason: Any = None, **_: object) -> None:
        if reason is None:
            self._cancelled(sender, request)
            return
        cause = getattr(reason, "exc", None)
        _settle_start(request)
        self._recorder.record(
            Report(
                request.id,
                Retrying(_owner(request.id, sender)),
                who=self._who(),
                why="asked for a retry",
                task_name=sender.name,
                error_type=type(cause).__name__ if cause else None,
                error_message=self._said(cause or reason),
            )
        )

    def _cancelled(self, task: Any, request: Any) -> None:
        """Celery ends executions when a worker stops, and signals a retry without a reason, whether or not one comes.

        What was acknowledged when it began does not come back: its end is told to whoever waits for the result too.
        """
        redeliver = bool(task.acks_late)
        why = "its worker ended the execution before it returned"
        ticket = self._recorder.record(
            Report(
                request.id,
                Cancelled(Owner(incarnation.current_id(), None), redeliver=redeliver),
                who=self._who(),
                why=why,
                task_name=task.name,
                reason="cancelled",
                error_message=why,
                awaits_s=self._settings.redelivery_bound_s if redeliver else None,
            )
        )
        if redeliver:
            return
        self._patient_until = self._patient_until or time.monotonic() + _FLUSH_S
        ticket.wait(max(0.0, self._patient_until - time.monotonic()))  # the worker stops: nobody will tell later
        if ticket.outcome is not None and isinstance(ticket.outcome.decision, Transition):
            waiters = waiting_for(request, limit_bytes=self._settings.stored_message_bytes)
            tell_revoked(self._app.backend, request.id, why, waiters)

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
                announced=_is_announced(request),
            )
        )

    def _worker_starts(self, sender: str, **_: object) -> None:
        self._sweeper = Sweeper(self._app, self._settings, incarnation.become(sender))
        self._sweeper.register()

    def _tasks_loaded(self, **_: object) -> None:
        guard_tasks(self._app, self._settings)
        tell_progress(self._app, guarded("progress")(self._progressed))

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

    def _said(self, error: object) -> str:
        return masked(readable(error), self._settings.masked_names)

    def _traceback(self, einfo: Any) -> str | None:
        """Its end, where it is over the limit: there it says what happened."""
        text = getattr(einfo, "traceback", None)
        if not isinstance(text, str):
            return None
        data = masked(text, self._settings.masked_names).replace("\0", "\\x00").encode("utf-8", "backslashreplace")
        return data[-self._settings.stored_traceback_bytes :].decode("utf-8", "ignore")

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
    request = task.request
    attempt: UUID | None = getattr(request, "tracking_attempt", None) if request.id == task_id else None
    return Owner(incarnation.current_id(), attempt)


def _settle_start(request: Any) -> None:
    """Wait for the answer to its start, where the guard did not come to it, as Celery ended the execution earlier."""
    settle = getattr(request, "tracking_settle", None)
    if settle is not None:
        settle()


def _is_announced(request: Any) -> bool:
    return bool(getattr(request, ANNOUNCED_HEADER, False))


def _limit(task: Any, exception: BaseException) -> str | None:
    """The time limit that was exceeded, in words; of the soft one Celery's own message does not tell the length."""
    if isinstance(exception, TimeLimitExceeded):
        return f"the hard time limit of {exception.args[0]} s was exceeded" if exception.args else None
    if isinstance(exception, SoftTimeLimitExceeded):
        _, own = task.request.timelimit or (None, None)
        limit_s = own or task.soft_time_limit
        return f"the soft time limit of {limit_s} s was exceeded" if limit_s else None
    return None


def _fixed(arguments: Arguments) -> Any:
    return lambda: arguments


def _queue(declare: Any) -> str | None:
    """Where the message is going to wait; unknown of what is published to an exchange without naming a queue."""
    names = [queue.name for queue in declare or ()]
    return str(names[0]) if len(names) == 1 else None


def _moment(eta: object) -> datetime | None:
    return datetime.fromisoformat(eta) if isinstance(eta, str) else None
