"""Tracking writes that cannot hurt a task: in order, behind a bound, kept while the database is away.

Each process has one writer thread and one connection. A signal handler hands over its report and waits at
most `write_timeout_s`; if the write is not done by then it is put on disk, the task goes on, and the write stays
in the queue. From then on nobody waits until the queue has been written. A report that the database refuses is
dropped with an ERROR line; one that could not reach it is kept, up to `write_queue_limit`, and written later, by
another process if this one is killed.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from reference_impl import incarnation, metrics
from reference_impl.connections import open_engine
from reference_impl.lifecycle import Transition
from reference_impl.registry import Registry
from reference_impl.reports import Outcome, Report
from reference_impl.settings import Settings
from reference_impl.spool import Spool, SpoolError, adopt

logger = logging.getLogger(__name__)

_RETRY_S = 0.25
_RETRY_S_MAX = 2.0


@dataclass(eq=False)
class Ticket:
    """The fate of one report."""

    report: Report
    written: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | None = None
    dropped: bool = False
    kept: bool = False
    spooled: int | None = None

    @property
    def answered(self) -> bool:
        """Whether the registry took a decision on it."""
        return self.outcome is not None

    def wait(self, timeout_s: float | None) -> bool:
        """Whether the report was written, or dropped, within `timeout_s`; None waits as long as it takes."""
        return self.written.wait(timeout_s)


class Recorder:
    """The one door through which a process writes what happened to its tasks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: deque[Ticket] = deque()
        self._notes: WeakValueDictionary[str, Ticket] = WeakValueDictionary()
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None
        self._noticing = threading.RLock()  # a signal handler may come while it is held
        self._trouble = False
        self._answering = False
        self._spool = Spool(settings)
        self._heir = True
        self.failures = 0
        os.register_at_fork(after_in_child=self._start_afresh)

    def record(self, report: Report) -> Ticket:
        """Hand over a report and wait for it within the bound. Never raises, never waits longer.

        When it returns, the report is in the database, or on disk, or an ERROR line has told of its loss.
        """
        ticket = self._submit(report)
        if self._trouble:
            self._keep(ticket, "the database is away")
        elif not ticket.wait(self._settings.write_timeout_s):
            self._keep(ticket, f"no answer from the database within {self._settings.write_timeout_s:g} s")
        return ticket

    def note(self, report: Report) -> None:
        """Hand over a report that nobody waits for, in place of the last one about its task that is not written yet."""
        with self._arrived:
            waiting = self._notes.get(report.task_id)
            if waiting is not None and waiting in list(self._queue)[1:]:
                waiting.report = report
                return
        self._notes[report.task_id] = self._submit(report)

    def flush(self, timeout_s: float) -> int:
        """Wait up to `timeout_s` for what is queued; returns how many reports are left unwritten."""
        deadline = time.monotonic() + timeout_s
        while waiting := list(self._queue):
            if not waiting[-1].wait(max(0.0, deadline - time.monotonic())):
                break
        left = len(self._queue)
        lost = sum(ticket.spooled is None for ticket in list(self._queue))
        if lost:
            logger.error("tracking: %d reports were not written when this process ended", lost)
            metrics.tracking_failed(lost)
        if left - lost:
            logger.warning("tracking: %d reports are left on disk for another process to write", left - lost)
        return left

    def _submit(self, report: Report) -> Ticket:
        ticket = Ticket(report)
        with self._arrived:
            self._ensure_writer()
            if len(self._queue) >= self._settings.write_queue_limit:
                self._failed(report, f"{len(self._queue)} reports are waiting already; dropped")
                ticket.dropped = True
                ticket.written.set()
                return ticket
            self._queue.append(ticket)
            self._arrived.notify()
        return ticket

    def _ensure_writer(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._write_all, name="celery-tracker writer", daemon=True)
            self._thread.start()

    def _start_afresh(self) -> None:
        """A forked child has neither its parent's thread nor, ever, its parent's connection."""
        self._queue = deque()
        self._notes = WeakValueDictionary()
        self._arrived = threading.Condition()
        self._thread = None
        self._noticing = threading.RLock()
        self._trouble = self._answering = False
        self._spool.forget()
        self._heir = True

    def _write_all(self) -> None:
        registry = Registry(open_engine(self._settings))
        pause_s = _RETRY_S
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: bool(self._queue))
                ticket = self._queue[0]
            try:
                kept = not self._write(registry, ticket)
            except Exception:  # noqa: BLE001 - a mistake in here must not stand in the way of the next report
                traceback.print_exc()
                metrics.tracking_failed()
                kept = False
            if kept:
                with self._arrived:
                    self._arrived.wait(pause_s)
                pause_s = min(pause_s * 2, _RETRY_S_MAX)
            else:
                self._settle(ticket)
                pause_s = _RETRY_S

    def _write(self, registry: Registry, ticket: Ticket) -> bool:
        """Whether the report is done with: written or dropped; False keeps it for another try."""
        try:
            ticket.outcome = registry.apply(ticket.report)
        except SQLAlchemyError as error:
            if _unreachable(error):
                self._answering = False
                self._keep(ticket, _cause(error))
                return False
            self._drop(ticket, _cause(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the writer
            self._drop(ticket, f"{type(error).__name__}: {error}")
        _warn(ticket)
        metrics.decided(ticket.outcome.decision if ticket.outcome else None)
        if self._trouble and not self._answering:
            self._answering = True
            logger.warning("tracking: the database answers again; %d reports waiting", len(self._queue) - 1)
        return True

    def _settle(self, ticket: Ticket) -> None:
        """It is done with; the trouble is over when nothing waits any more."""
        with self._noticing:
            self._queue.popleft()
            ticket.written.set()
            if ticket.spooled is not None:
                self._spool.done(ticket.spooled)
            if not self._queue:
                self._trouble = self._answering = False
        if self._heir and incarnation.current() is None:
            self._heir = False
            threading.Thread(target=self._inherit, name="celery-tracker heir", daemon=True).start()

    def _inherit(self) -> None:
        """In a worker a sweep does this; elsewhere nobody would."""
        engine = open_engine(self._settings)
        try:
            write_what_was_left(engine, self._settings)
        except (SQLAlchemyError, OSError) as error:
            logger.error("tracking: what other processes have left is not all written: %s", _cause(error))
        finally:
            engine.dispose()

    def _keep(self, ticket: Ticket, cause: str) -> None:
        """Put it on disk, and say so, once for each report: the writer notices, or who waits, or who comes later."""
        with self._noticing:
            if ticket.written.is_set() or ticket.kept:
                return
            level = logging.WARNING if self._trouble else logging.ERROR
            self._trouble = self._heir = ticket.kept = True
            try:
                ticket.spooled = self._spool.keep(ticket.report)
                self._failed(ticket.report, f"{cause}; kept", level)
            except SpoolError as error:
                self._failed(ticket.report, f"{cause}; {error}")

    def _drop(self, ticket: Ticket, cause: str) -> None:
        ticket.dropped = True
        self._failed(ticket.report, cause)

    def _failed(self, report: Report, cause: str, level: int = logging.ERROR) -> None:
        self.failures += 1
        _tell_failure(report, cause, level)


def write_what_was_left(engine: Engine, settings: Settings) -> None:
    """Write what processes of this machine have left on disk that are no more.

    Raises SQLAlchemy's errors and OSError; what was not written stays there.
    """
    registry = Registry(engine)

    def write(report: Report) -> None:
        try:
            metrics.decided(registry.apply(report).decision)
        except SQLAlchemyError as error:
            if _unreachable(error):
                raise
            _tell_failure(report, _cause(error))
        except Exception as error:  # noqa: BLE001 - one that cannot be written must not keep the others
            _tell_failure(report, f"{type(error).__name__}: {error}")

    count = adopt(settings, write)
    if count:
        logger.warning("tracking: %d reports written that ended processes had left on disk", count)


def _tell_failure(report: Report, cause: str, level: int = logging.ERROR) -> None:
    metrics.tracking_failed()
    logger.log(
        level,
        "tracking: %s of task %s[%s] was not recorded: %s",
        type(report.event).__name__,
        report.task_name,
        report.task_id,
        " ".join(cause.split()),
    )


def _warn(ticket: Ticket) -> None:
    decision = ticket.outcome.decision if ticket.outcome else None
    if isinstance(decision, Transition) and decision.warn:
        logger.warning("tracking: task %s[%s]: %s", ticket.report.task_name, ticket.report.task_id, decision.note)


def guarded(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A signal handler that never raises: a failure becomes one ERROR line that names the handler and the cause."""

    def decorate(handler: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(handler)
        def guard(*args: object, **kwargs: object) -> None:
            try:
                handler(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - tracking trouble must never become the task's
                logger.error(
                    "tracking: %s of task %s failed: %s: %s", what, _task_of(kwargs), type(error).__name__, error
                )
                metrics.tracking_failed()

        return guard

    return decorate


def _task_of(signal: Mapping[str, Any]) -> object:
    """The id of the task that a signal is about, wherever this kind of signal carries it."""
    headers = signal.get("headers")
    request = signal.get("request") or getattr(signal.get("sender"), "request", None)
    published = headers.get("id") if isinstance(headers, Mapping) else None
    return signal.get("task_id") or published or getattr(request, "id", None)


def _unreachable(error: SQLAlchemyError) -> bool:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    original = getattr(error, "orig", None)
    if isinstance(original, psycopg.errors.ProgramLimitExceeded):
        return False  # psycopg counts it among the operational ones, and it will never fit
    standby = isinstance(original, psycopg.errors.ReadOnlySqlTransaction)
    return standby or isinstance(error, OperationalError | InterfaceError)


def _cause(error: Exception) -> str:
    original = getattr(error, "orig", None) or error
    text = str(original).strip().splitlines()
    return f"{type(original).__name__}: {text[0] if text else ''}"
