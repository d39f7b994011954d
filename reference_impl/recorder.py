"""Tracking writes that cannot hurt a task: in order, behind a bound, kept while the database is away.

Each process has one connection and one writer thread, which lends the connection while it has nothing to write: whoever
has an ordinary report sends it himself, and waits for the answer, or has it waited for later. Everything else is the
writer's: reports of another kind, those that found their record otherwise, answers that are slow. For them a signal
handler waits at most `write_timeout_s`; what is not written by then is put on disk, the task goes on, and the report
stays in the queue. From then on nobody waits until the queue has been written. A report that the database refuses is
dropped with an ERROR line; one that could not reach it is kept, up to `write_queue_limit`, and written later, by
another process if this one is killed.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from weakref import WeakValueDictionary

import psycopg
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from reference_impl import incarnation, metrics
from reference_impl.connections import brief, is_unreachable, open_engine
from reference_impl.left_behind import write_what_was_left
from reference_impl.lifecycle import Transition
from reference_impl.line import IS_POSSIBLE, Line, Pending
from reference_impl.mishaps import mistakes_told, tell_failure
from reference_impl.ordinary import STALL, Write, write_of
from reference_impl.registry import Registry
from reference_impl.reports import Outcome, Report
from reference_impl.settings import Settings
from reference_impl.spool import Spool, SpoolError
from reference_impl.ticket import Ticket
from reference_impl.transitions import tell

logger = logging.getLogger(__name__)

_RETRY_S = 0.25
_RETRY_S_MAX = 2.0
_GLANCE_S = 0.05
"""So long may an answer lie there that nobody waits for."""
_LOOK_AGAIN_S = 0.005


@dataclass(eq=False)
class _UnderWay:
    """The report whose statement is on the line."""

    ticket: Ticket
    write: Write


class Recorder:
    """The one door through which a process writes what happened to its tasks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: deque[Ticket] = deque()
        self._notes: WeakValueDictionary[str, Ticket] = WeakValueDictionary()
        self._queueing = threading.RLock()  # entered as it is, a condition can be left locked; see Ticket
        self._arrived = threading.Condition(self._queueing)
        self._thread: threading.Thread | None = None
        self._connection = threading.RLock()  # who holds it has the connection, and what is under way on it
        self._holder: int | None = None
        self._line: Line | None = None
        self._under_way: _UnderWay | None = None
        self._glancing = False
        self._noticing = threading.RLock()  # a signal handler may come while it is held
        self._trouble = False
        self._answering = False
        self._spool = Spool(settings)
        self._heir = True
        self.failures = 0
        os.register_at_fork(after_in_child=self._start_afresh)

    def record(self, report: Report, *, told_elsewhere: bool = False) -> Ticket:
        """Hand over a report and wait for it within the bound. Never raises, never waits longer.

        When it returns, the report is in the database, or on disk, or an ERROR line has told of its loss. Where a sweep
        would find the same `told_elsewhere` it may be on its way to the database instead.
        """
        ticket = self.begin(report)
        if told_elsewhere and self._is_under_way(ticket):
            ticket.unattended = True
        else:
            self.finish(ticket)
        return ticket

    def begin(self, report: Report) -> Ticket:
        """Hand over a report for which `finish` waits: it is on its way, or in the queue. Never raises.

        It waits for nothing but the answer to what was sent before, and not for long.
        """
        ticket = Ticket(report)
        if not self._send(ticket):
            self._submit(ticket)
            if self._trouble:
                self._keep(ticket, "the database is away")
        ticket.begun_s = time.monotonic() - ticket.handed_over
        return ticket

    def finish(self, ticket: Ticket) -> None:
        """Wait for what was begun, as `record` does; the bound is for both, without what is done in between."""
        bound_s = self._settings.write_timeout_s
        if self._holder == threading.get_ident():  # a signal's handler reports: the writer comes to it afterwards
            self._put_by(ticket)
            return
        until = time.monotonic() + max(STALL.total_seconds(), bound_s - ticket.begun_s)
        if self._is_under_way(ticket) and not ticket.kept:
            self._use_line(until - time.monotonic())
        if ticket.kept or not ticket.wait(max(0.0, until - time.monotonic())):
            # Somebody else may be about to keep it: then this waits until it is on disk.
            self._keep(ticket, f"no answer from the database within {bound_s:g} s")

    def note(self, report: Report) -> None:
        """Hand over a report that nobody waits for, in place of the last one about its task that is not written yet."""
        with self._queueing:
            waiting = self._notes.get(report.task_id)
            if waiting is not None and waiting in list(self._queue)[1:]:
                waiting.report = report
                return
        ticket = self._notes[report.task_id] = Ticket(report)
        self._submit(ticket)

    def flush(self, timeout_s: float) -> int:
        """Wait up to `timeout_s` for what is queued; returns how many reports are left unwritten."""
        deadline = time.monotonic() + timeout_s
        if self._under_way is not None:
            self._use_line(timeout_s)
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

    def _is_under_way(self, ticket: Ticket) -> bool:
        under_way = self._under_way
        return under_way is not None and under_way.ticket is ticket

    def _send(self, ticket: Ticket) -> bool:
        """Whether its statement is on the line, which is free only while nothing waits in the queue."""
        if self._trouble or self._queue or not self._use_line(0.0, ticket):
            return False
        if not self._glancing:
            with self._queueing:
                self._arrived.notify()
        return True

    def _use_line(self, within_s: float, ticket: Ticket | None = None) -> bool:
        """Take the answer that is on the line, then put a report on it; says whether it is there.

        It does nothing where the connection is not to be had in time, or is had by this thread already.
        """
        me = threading.get_ident()
        if self._holder == me:
            return False
        try:
            if not self._connection.acquire(timeout=max(0.0, within_s)):
                return False
            self._holder = me
            free = self._collect()
            return free and ticket is not None and self._line is not None and self._put_on(self._line, ticket)
        finally:  # an exception may come right after the connection was had, and before anything else
            self._holder = None if self._holder == me else self._holder
            try:  # noqa: SIM105 - `suppress` has a beginning and an end of its own
                self._connection.release()
            except RuntimeError:  # it was not had
                pass

    def _put_on(self, line: Line, ticket: Ticket) -> bool:
        """Send its statement, if there is one, and only the writer could tell of mistakes in it."""
        try:
            write = write_of(ticket.report)
            texts = line.ready(write.statement, write.values) if write and line.knows(write.statement) else None
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the writer meets it too, and tells of it
            return False
        if write is None or texts is None:
            return False
        self._under_way = _UnderWay(ticket, write)  # first: from here on it may have been sent
        try:
            line.send(write.statement, texts)
        except psycopg.Error:
            self._queue_first(ticket)
        return True

    def _collect(self) -> bool:
        """Take the answer that is on the line, where it has come in time; else it is left to the writer.

        Only for who holds the connection. Says whether the line is free.
        """
        if self._under_way is None:
            return True
        ticket, write = self._under_way.ticket, self._under_way.write
        if ticket in self._queue:
            return False
        assert self._line is not None
        entry_id = None
        standing_otherwise = False
        with suppress(Pending, psycopg.Error):
            entry_id = self._line.answer((STALL - write.age(ticket.report)).total_seconds())
            standing_otherwise = entry_id is None
        if entry_id is not None:
            ticket.outcome = write.outcome
        if entry_id is None or ticket.kept or write.age(ticket.report) > STALL:
            self._queue_first(ticket)
            if standing_otherwise:
                self._under_way = None
            return False
        tell(ticket.report, write.outcome)
        self._settle(ticket)
        self._under_way = None
        return True

    def _queue_first(self, ticket: Ticket) -> None:
        with self._queueing:
            self._queue.appendleft(ticket)
            self._ensure_writer()
            self._arrived.notify()

    def _submit(self, ticket: Ticket) -> None:
        with self._queueing:
            self._ensure_writer()
            if len(self._queue) >= self._settings.write_queue_limit:
                self._failed(ticket.report, f"{len(self._queue)} reports are waiting already; dropped")
                ticket.dropped = True
                ticket.settle()
                return
            self._queue.append(ticket)
            self._arrived.notify()

    def _ensure_writer(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._write_all, name="celery-tracker writer", daemon=True)
            self._thread.start()

    def _start_afresh(self) -> None:
        """A forked child has neither its parent's thread nor, ever, its parent's connection."""
        self._queue = deque()
        self._notes = WeakValueDictionary()
        self._queueing = threading.RLock()
        self._arrived = threading.Condition(self._queueing)
        self._thread = None
        self._connection = threading.RLock()
        self._holder = None
        self._line = self._under_way = None
        self._glancing = False
        self._noticing = threading.RLock()
        self._trouble = self._answering = False
        self._spool.forget()
        self._heir = True

    def _write_all(self) -> None:
        engine = open_engine(self._settings)
        registry = Registry(engine)
        pause_s = _RETRY_S
        while True:
            self._await_work()
            with self._connection:
                self._holder = threading.get_ident()
                ticket = self._first()
                kept = False
                with mistakes_told():
                    kept = ticket is not None and not self._write(registry, ticket)
                if ticket is not None and not kept:
                    self._settle(ticket)
                    self._lend(engine, ticket)
                self._holder = None
            if kept:
                with self._queueing:
                    self._arrived.wait(pause_s)
                pause_s = min(pause_s * 2, _RETRY_S_MAX)
            else:
                pause_s = _RETRY_S

    def _await_work(self) -> None:
        """Until something is in the queue, or an answer on the line has not been taken for a while."""
        with self._queueing:
            while not self._queue:
                self._glancing = False  # before looking: who sends something looks at it afterwards
                seen = self._under_way
                self._glancing = seen is not None
                self._arrived.wait(_GLANCE_S if seen is not None else None)
                if seen is not None and self._under_way is seen:
                    return

    def _first(self) -> Ticket | None:
        """The report to be written now, which stays the first of the queue for whoever holds the connection."""
        if self._under_way is not None and self._under_way.ticket not in self._queue:
            self._queue.appendleft(self._under_way.ticket)
        return self._queue[0] if self._queue else None

    def _write(self, registry: Registry, ticket: Ticket) -> bool:
        """Whether the report is done with: written or dropped; False keeps it for another try."""
        try:
            ticket.outcome = self._answered(registry, ticket) or self._applied(registry, ticket)
        except (SQLAlchemyError, psycopg.Error) as error:
            if is_unreachable(error):
                self._answering = False
                self._keep(ticket, brief(error))
                return False
            self._drop(ticket, brief(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the writer
            self._drop(ticket, f"{type(error).__name__}: {error}")
        if self._trouble and not self._answering:
            self._answering = True
            logger.warning("tracking: the database answers again; %d reports waiting", len(self._queue) - 1)
        return True

    def _answered(self, registry: Registry, ticket: Ticket) -> Outcome | None:
        """What has come of a report that is under way; None where it has to be written anew, or was not sent at all."""
        under_way, line = self._under_way, self._line
        entry_id, broken = None, False
        try:
            if under_way is not None and line is not None:
                entry_id = self._await_answer(line, ticket)
        except psycopg.Error as error:
            # Whoever else uses the connection, or stands before the database, may have forgotten what was prepared.
            broken = is_unreachable(error) or isinstance(error, psycopg.errors.InvalidSqlStatementName)
            if not broken:
                raise
        finally:
            self._under_way = None
            self._take_back(broken=broken)
        if under_way is None or entry_id is None:
            return None
        try:
            registry.mend_times(ticket.report, under_way.write, entry_id)
        except SQLAlchemyError as error:
            task_id, cause = ticket.report.task_id, brief(error)
            logger.warning("tracking: times of task %s are those of a late answer: %s", task_id, cause)
        tell(ticket.report, under_way.write.outcome)
        return under_way.write.outcome

    def _await_answer(self, line: Line, ticket: Ticket) -> int | None:
        bound_s = self._settings.write_timeout_s
        try:
            return line.answer(ticket.left(bound_s))
        except Pending:
            self._keep(ticket, f"no answer from the database within {bound_s:g} s")
            return line.answer(None)

    def _applied(self, registry: Registry, ticket: Ticket) -> Outcome:
        """Where its publication was sent before its message, the database may take that up a moment later.

        Half the bound is for that, and half for what comes then.
        """
        if ticket.unattended:
            self._put_by(ticket)
        report = ticket.report
        patience_s = self._settings.write_timeout_s / 2 if report.announced else 0.0
        while report.age.total_seconds() < patience_s and not registry.is_published(report.task_id):
            time.sleep(_LOOK_AGAIN_S)  # nobody tells of a row that is not there yet
        return registry.apply(report)

    def _put_by(self, ticket: Ticket) -> None:
        """Put a report on disk that nobody is going to wait for; nothing is amiss yet."""
        with self._noticing, suppress(SpoolError):
            if not ticket.written and ticket.spooled is None:
                ticket.spooled = self._spool.keep(ticket.report)

    def _settle(self, ticket: Ticket) -> None:
        """It is done with; the trouble is over when nothing waits any more."""
        with mistakes_told():
            _warn(ticket)
            metrics.decided(ticket.outcome.decision if ticket.outcome else None)
        with self._noticing:
            if self._queue and self._queue[0] is ticket:
                self._queue.popleft()
            ticket.settle()
            if not self._queue:
                self._trouble = self._answering = False
            with mistakes_told():
                if ticket.spooled is not None:
                    self._spool.done(ticket.spooled)
        if self._heir and incarnation.current() is None:
            self._heir = False
            with mistakes_told():
                threading.Thread(target=self._inherit, name="celery-tracker heir", daemon=True).start()

    def _lend(self, engine: Engine, ticket: Ticket) -> None:
        """Have others send what is like this report, as long as the writer has nothing to do."""
        if not ticket.answered or not IS_POSSIBLE:
            return
        try:
            self._line = Line.lent_by(engine)
            write = write_of(ticket.report)
            if write is not None and not self._line.knows(write.statement):
                self._line.prepare(write.statement)
        except (SQLAlchemyError, psycopg.Error):
            self._take_back(broken=True)

    def _take_back(self, *, broken: bool = False) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.give_back(broken=broken)

    def _inherit(self) -> None:
        """In a worker a sweep does this; elsewhere nobody would."""
        engine = open_engine(self._settings)
        try:
            write_what_was_left(engine, self._settings)
        except (SQLAlchemyError, OSError) as error:
            logger.error("tracking: what other processes have left is not all written: %s", brief(error))
        finally:
            engine.dispose()

    def _keep(self, ticket: Ticket, cause: str) -> None:
        """Put it on disk, and say so, once for each report: the writer notices, or who waits, or who comes later."""
        with self._noticing:
            if ticket.written or ticket.kept:
                return
            level = logging.WARNING if self._trouble else logging.ERROR
            self._trouble = self._heir = ticket.kept = True
            try:
                if ticket.spooled is None:
                    ticket.spooled = self._spool.keep(ticket.report)
                self._failed(ticket.report, f"{cause}; kept", level)
            except SpoolError as error:
                self._failed(ticket.report, f"{cause}; {error}")

    def _drop(self, ticket: Ticket, cause: str) -> None:
        ticket.dropped = True
        self._failed(ticket.report, cause)

    def _failed(self, report: Report, cause: str, level: int = logging.ERROR) -> None:
        self.failures += 1
        tell_failure(report, cause, level)


def _warn(ticket: Ticket) -> None:
    decision = ticket.outcome.decision if ticket.outcome else None
    if isinstance(decision, Transition) and decision.warn:
        logger.warning("tracking: task %s[%s]: %s", ticket.report.task_name, ticket.report.task_id, decision.note)
