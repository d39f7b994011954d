"""The situation at a glance: how many tasks there are of which kind, and which were executed last.

Three sources are asked: the workers for what they have in hand, the result backend for results that nobody has
reported, the registry for all the rest. Each has a bound on its time. Where one is away, another stands in for it as
far as it can, or what it said last is told again; each figure tells whose it is, and how old.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Counted
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

import redis
from celery import Celery
from prometheus_client import CollectorRegistry, Counter, Histogram
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from reference_impl.bounded import Alone, NotInTimeError
from reference_impl.connections import cause_of
from reference_impl.lifecycle import Status
from reference_impl.live_work import Hold, LiveTask, LiveWork, WorkersAwayError, ask_workers
from reference_impl.noted_results import Noted, Notes, open_notes
from reference_impl.settings import Settings
from reference_impl.sitrep_document import Origin, ResultsState, Sitrep, Sources, SourceState, TaskMetrics, WorkersState
from reference_impl.task_lines import TaskLine, live_line, newest_ends, newest_starts, running

logger = logging.getLogger(__name__)

T = TypeVar("T")

RECENT_MAX = 100
READ_S = 2.0
"""So long are notes of results read for one answer; what is left is told, and read for the next."""
_REGISTRY_S = 3.0
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_ENDED_AS = {
    "completed_tasks": Status.SUCCESS,
    "failed_tasks": Status.FAILURE,
    "cancelled_tasks": Status.REVOKED,
}

_COUNT = text("SELECT status, count(*) AS tasks FROM celery_task_registry GROUP BY status")
_LEASED = text("""
    SELECT DISTINCT node FROM celery_worker_incarnation
    WHERE renewed_at + make_interval(secs => lease_s) >= clock_timestamp()
""")
_ENDED_MEANWHILE = text("""
    SELECT task_id FROM celery_task_registry
    WHERE task_id = ANY(:task_ids) AND completed_at > clock_timestamp() - make_interval(secs => :seconds)
""")


@dataclass(frozen=True)
class _Facts:
    """What the registry says."""

    counts: Mapping[str, int]
    leased: frozenset[str]
    ended_meanwhile: frozenset[str]
    started: list[TaskLine]
    ended: list[TaskLine]


class SitrepMetrics:
    """What the view tells Prometheus about itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answers = Histogram(
            "celery_tracker_sitrep_seconds", "Seconds until a sitrep was answered.", registry=registry
        )
        self.sources = Histogram(
            "celery_tracker_sitrep_source_seconds", "Seconds that a source took.", ["source"], registry=registry
        )
        self.failures = Counter(
            "celery_tracker_sitrep_failures", "Times that a source gave no answer.", ["source"], registry=registry
        )
        for source in ("workers", "registry", "results"):
            self.sources.labels(source)
            self.failures.labels(source)


@dataclass
class _Source(Generic[T]):
    """One that is asked within a bound; while an earlier question hangs, it is not asked another."""

    name: str
    bound_s: float
    metrics: SitrepMetrics
    last: T | None = None
    heard: float | None = None
    why: str | None = None
    seconds: float = 0.0
    _alone: Alone = field(default_factory=Alone)

    @property
    def now(self) -> T | None:
        """What it has said this time."""
        return self.last if self.why is None else None

    def ask(self, work: Callable[[], T]) -> None:
        """Note what it says, or why it does not."""
        began = time.monotonic()
        try:
            self.last, self.why = self._alone.within(self.bound_s, f"sitrep from {self.name}", work), None
            self.heard = time.monotonic()
        except (NotInTimeError, WorkersAwayError) as error:
            self.why = str(error)
        except Exception as error:
            self.why = f"{type(error).__name__}: {cause_of(error)}"
            if not isinstance(error, SQLAlchemyError | redis.RedisError | OSError):
                logger.exception("tracking: %s cannot be told of in a sitrep", self.name)
        self.seconds = time.monotonic() - began
        self.metrics.sources.labels(self.name).observe(self.seconds)
        if self.why is not None:
            self.metrics.failures.labels(self.name).inc()

    def state(self) -> SourceState:
        """How it has answered."""
        return SourceState(answered=self.why is None, why=self.why, seconds=self.seconds, age_seconds=self._age())

    def origin(self) -> Origin:
        """Of what it has said last, if it ever has."""
        return Origin(source=None if self.heard is None else self.name, age_seconds=self._age())

    def _age(self) -> float | None:
        return None if self.heard is None else time.monotonic() - self.heard


class Sitreps:
    """One gathering in `sitrep_ttl_s`, however many ask."""

    def __init__(self, engine: Engine, app: Celery | None, settings: Settings, metrics: SitrepMetrics) -> None:
        self._engine, self._app, self._settings, self._metrics = engine, app, settings, metrics
        self._notes = open_notes(app, settings)
        self._workers: _Source[LiveWork] = _Source("workers", 3 * settings.ping_timeout_s + 1.0, metrics)
        self._results: _Source[Noted] = _Source("results", READ_S + 2.0, metrics)
        self._registry: _Source[_Facts] = _Source("registry", _REGISTRY_S, metrics)
        self._gathering = threading.Lock()
        self._adopting = Alone()
        self._latest: tuple[float, Sitrep] | None = None

    def latest(self, limit: int) -> Sitrep:
        """The newest, with `limit` of what is executed and of what has ended.

        Who comes during a gathering is given the last one, and waits only for the first of all.
        """
        began = time.monotonic()
        at, sitrep = self._gathered()
        self._metrics.answers.observe(time.monotonic() - began)
        executed = [line for line in sitrep.recent_tasks if line.completed_at is None]
        ended = [line for line in sitrep.recent_tasks if line.completed_at is not None]
        shown = sitrep.model_copy(update={"recent_tasks": executed[:limit] + ended[:limit]})
        return _aged(shown, time.monotonic() - at)

    def _gathered(self) -> tuple[float, Sitrep]:
        """One that is fresh, or about to be replaced, and when it was made."""
        last = self._latest
        if last is not None and time.monotonic() - last[0] < self._settings.sitrep_ttl_s:
            return last
        if not self._gathering.acquire(blocking=last is None):
            assert last is not None
            return last
        try:
            if self._latest is None or self._latest is last:
                gathered = self._gather()
                self._latest = time.monotonic(), gathered
            return self._latest
        finally:
            self._gathering.release()

    def _gather(self) -> Sitrep:
        began = time.monotonic()
        with ThreadPoolExecutor(2, thread_name_prefix="celery-tracker sitrep") as pool:
            asked = [pool.submit(self._ask_workers), pool.submit(self._read_results, began)]
            for each in asked:
                each.result()
        self._registry.ask(lambda: self._read_registry(began))
        return self._told()

    def _ask_workers(self) -> None:
        app = self._app

        def ask() -> LiveWork:
            if app is None:
                raise WorkersAwayError("this API knows no application by which to reach workers")
            return ask_workers(app, self._settings.ping_timeout_s)

        self._workers.ask(ask)

    def _read_results(self, began: float) -> None:
        notes = self._notes
        if notes is None:
            self._results.why = "the result backend is no Redis, or not known: results without a record are not seen"
            return

        def read() -> Noted:
            self._adopt(notes, began + READ_S)
            return notes.count()

        self._results.ask(read)

    def _adopt(self, notes: Notes, until: float) -> None:
        """As far as the database lets it, which is asked for itself."""
        with suppress(SQLAlchemyError, NotInTimeError):
            self._adopting.within(READ_S + 0.5, "adoption of results", lambda: notes.adopt(self._engine, until))

    def _read_registry(self, began: float) -> _Facts:
        live = self._workers.now
        secrets = self._settings.masked_names
        active = _newest(live.tasks.values(), RECENT_MAX) if live else []
        with self._engine.begin() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = {int(_REGISTRY_S * 1000)}"))
            counts = {row.status: row.tasks for row in connection.execute(_COUNT)}
            leased = connection.execute(_LEASED).scalars()
            held = {"task_ids": list(live.tasks) if live else [], "seconds": time.monotonic() - began}
            return _Facts(
                counts,
                frozenset(leased),
                frozenset(connection.execute(_ENDED_MEANWHILE, held).scalars()),
                running(connection, active, self._settings) if live else newest_starts(connection, secrets, RECENT_MAX),
                newest_ends(connection, secrets, RECENT_MAX),
            )

    def _told(self) -> Sitrep:
        live, facts, known = self._workers.now, self._registry.now, self._registry.last
        held, holder = self._held(live, facts)
        ended = {name: known.counts.get(status, 0) if known else None for name, status in _ENDED_AS.items()}
        rate = _rate(ended["completed_tasks"], ended["failed_tasks"])
        parts = [held["active_tasks"], held["pending_tasks"], ended["completed_tasks"], ended["failed_tasks"]]
        told = [part for part in parts if part is not None]
        metrics = TaskMetrics(
            **held, **ended, total_tasks=sum(told) if len(told) == len(parts) else None, success_rate=rate
        )
        counted = self._registry.origin()
        return Sitrep(
            task_metrics=metrics,
            origins={
                **{name: holder.model_copy() for name in held},
                **{name: counted.model_copy() for name in (*ended, "success_rate", "recent_tasks")},
            },
            recent_tasks=self._recent(live, facts),
            sources=Sources(
                workers=WorkersState(
                    **self._workers.state().model_dump(),
                    workers=sorted(live.answered) if live else [],
                    silent=sorted(facts.leased - live.answered) if live and facts else [],
                ),
                registry=self._registry.state(),
                results=self._results_state(),
            ),
            gathered_at=datetime.now(UTC),
            age_seconds=0.0,
        )

    def _results_state(self) -> ResultsState:
        noted = self._results.last
        return ResultsState(
            **self._results.state().model_dump(),
            unread=noted.unread if noted else None,
            adopted=noted.adopted if noted else None,
            malformed=noted.malformed if noted else None,
            gone=noted.gone if noted else None,
        )

    def _held(self, live: LiveWork | None, facts: _Facts | None) -> tuple[dict[str, int | None], Origin]:
        """What workers have in hand; the registry stands in for them, and after it what they said last."""
        if live is None and facts is not None:
            waiting = facts.counts.get(Status.PENDING, 0) + facts.counts.get(Status.RETRY, 0)
            return _hand(facts.counts.get(Status.STARTED, 0), waiting), self._registry.origin()
        last = self._workers.last
        if last is None:
            return _hand(None, None), self._workers.origin()
        over = facts.ended_meanwhile if facts else frozenset()
        left = Counted(task.hold for task_id, task in last.tasks.items() if task_id not in over)
        return _hand(left[Hold.ACTIVE], left[Hold.RESERVED] + left[Hold.SCHEDULED]), self._workers.origin()

    def _recent(self, live: LiveWork | None, facts: _Facts | None) -> list[TaskLine]:
        if facts is not None:
            executed = [line for line in facts.started if line.task_id not in facts.ended_meanwhile]
        else:
            active = _newest(live.tasks.values(), RECENT_MAX) if live else []
            executed = [live_line(task, self._settings) for task in active]
        shown = {line.task_id for line in executed}
        known = self._registry.last
        return executed + [line for line in (known.ended if known else []) if line.task_id not in shown]


def _newest(tasks: Collection[LiveTask], limit: int) -> list[LiveTask]:
    """Those that are executed, the newest start first."""
    active = [task for task in tasks if task.hold is Hold.ACTIVE]
    return sorted(active, key=lambda task: task.started_at or _LONG_AGO, reverse=True)[:limit]


def _rate(completed: int | None, failed: int | None) -> float | None:
    if completed is None or failed is None or completed + failed == 0:
        return None
    return completed / (completed + failed)


def _hand(active: int | None, pending: int | None) -> dict[str, int | None]:
    return {"active_tasks": active, "pending_tasks": pending}


def _aged(sitrep: Sitrep, by_s: float) -> Sitrep:
    """The same, told so much later."""
    older = sitrep.model_copy(deep=True)
    sources = older.sources
    told: list[Origin | SourceState] = [*older.origins.values(), sources.workers, sources.registry, sources.results]
    for each in told:
        each.age_seconds = None if each.age_seconds is None else each.age_seconds + by_s
    older.age_seconds = by_s
    return older
