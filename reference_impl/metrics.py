"""What Prometheus is told: the tracker's counts, those of pool children included, and the open tasks.

Counts are made where things happen, in any process. In the multiprocess mode of `prometheus_client` each process
keeps its own in a file of one directory (`PROMETHEUS_MULTIPROC_DIR`), and a worker's main process serves their sum.
They are written through to the file at once, so those of a killed child are not lost; they only ever grow, so the
files of ended children stay, and `mark_process_dead`, which removes gauges of the dead, has nothing to remove.

The open tasks, those that overrun, and rates are no counts of any process but facts of the database, asked at each
scrape: one that cannot be asked leaves them out, as neither 0 nor what was true before would be true.

The library guards its values by locks. A signal handler that counts while its own thread does would wait for
itself, and a child that is forked meanwhile would inherit a lock that nobody opens. So counts queue up, and whoever
comes while another one counts leaves his to that one; forks wait for the end of it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from reference_impl.connections import open_engine
from reference_impl.lifecycle import ENDED, OPEN, Decision, Transition
from reference_impl.rates import rates
from reference_impl.settings import ConfigurationError, Settings

logger = logging.getLogger(__name__)

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
OPEN_TASKS = "celery_tracker_open_tasks"
OVERRUNNING = "celery_tracker_overrunning_tasks"
RECENTLY_ENDED = "celery_tracker_recently_ended_tasks"
SUCCESS_RATE = "celery_tracker_success_rate"
FAILURE_RATE = "celery_tracker_failure_rate"
ACTIONS = ("revoked", "left to redelivery", "requeued", "found ended")
RESULTS = ("done", "skipped", "failed")

_ASK_S = 2.0
_RATES_S = 1.0
_COUNT_OPEN = text("""
    SELECT status, count(*) AS tasks FROM celery_task_registry WHERE status = ANY(:open) GROUP BY status
""")
_COUNT_OVERRUNNING = text("""
    SELECT count(*) FROM celery_task_registry
    WHERE status = 'STARTED' AND started_at + make_interval(
        secs => coalesce((CAST(:by_name AS jsonb) ->> task_name)::float, CAST(:allowed_s AS float))
    ) < clock_timestamp()
""")


def _make_directory() -> None:
    """The library opens files in it as soon as a metric is defined, and does not make it."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        return
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{DIRECTORY_VARIABLE} is {directory!r}, which is no directory and cannot be made: {error.strerror}; "
            "name one that this process may write to, or unset it"
        ) from error


_make_directory()

_errors = Counter(
    "celery_tracker_tracking_errors",
    "Reports that were not recorded in time or at all, handlers that failed, tasks that a sweep could not close.",
)
_sweeps = Counter("celery_tracker_sweeps", "Sweeps that were made, left to another one, or failed.", ["result"])
_seconds = Histogram(
    "celery_tracker_sweep_seconds",
    "How long the sweeps took that were made or failed.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
_overruns = Counter("celery_tracker_sweep_overruns", "Sweeps that took longer than sweep_interval_s.")
_stale = Counter("celery_tracker_stale_tasks_found", "Open tasks that a sweep found without a living worker.")
_closed = Counter("celery_tracker_tasks_closed", "Tasks that a sweep took away from dead workers.", ["action"])
_checks = Counter("celery_tracker_checks", "Checks that beat asked for, made or left to another node.", ["result"])
_persist_seconds = Histogram("celery_tracker_analysis_write_seconds", "Seconds to write an analysis.", ["store"])
_persist_bytes = Counter("celery_tracker_analysis_written_bytes", "Bytes of analyses that were written.", ["store"])
_persist_errors = Counter("celery_tracker_analysis_write_errors", "Writes of analyses that failed.", ["store"])
_ended = Counter("celery_tracker_tasks_ended", "Tasks whose end was recorded, by their status.", ["status"])

# Made now, so that each series is there before the first of its kind: Prometheus cannot see an increase from nothing.
_sweeps_by_result = {result: _sweeps.labels(result) for result in RESULTS}
_closed_by_action = {action: _closed.labels(action) for action in ACTIONS}
_checks_by_result = {result: _checks.labels(result) for result in ("done", "skipped")}
_persisting_by_store = {
    store: (_persist_seconds.labels(store), _persist_bytes.labels(store), _persist_errors.labels(store))
    for store in ("database", "file")
}
_ended_by_status = {status: _ended.labels(status) for status in sorted(ENDED)}

_counting = threading.Lock()
_waiting: deque[Callable[[], None]] = deque(maxlen=10_000)
_broken = False


def tracking_failed(times: int = 1) -> None:
    """Something was not recorded, in time or at all."""
    _count(partial(_errors.inc, times))


def decided(decision: Decision | None) -> None:
    """The registry decided on a report; ends are counted."""
    if isinstance(decision, Transition) and decision.to in ENDED:
        _count(_ended_by_status[decision.to].inc)


def found_stale() -> None:
    """A sweep found a task without a living worker."""
    _count(_stale.inc)


def took_away(action: str) -> None:
    """A sweep took a task away from a dead worker."""
    _count(_closed_by_action[action].inc)


def checked(result: str) -> None:
    """A check that beat asked for was `done`, or `skipped` as another node had made it."""
    _count(_checks_by_result[result].inc)


def persisted(store: str, seconds: float, size_bytes: int) -> None:
    """An analysis was written to the `database`, or to a `file`."""
    took, size, _ = _persisting_by_store[store]
    _count(partial(took.observe, seconds))
    _count(partial(size.inc, size_bytes))


def persisting_failed(store: str) -> None:
    """An analysis could not be written there, this time."""
    _, _, errors = _persisting_by_store[store]
    _count(errors.inc)


def swept(result: str, seconds: float, due_s: float) -> None:
    """A sweep ended; `due_s` after its beginning the next one is due."""
    _count(_sweeps_by_result[result].inc)
    if result == "skipped":
        return
    _count(partial(_seconds.observe, seconds))
    if seconds > due_s:
        _count(_overruns.inc)


def serve(settings: Settings) -> None:
    """Serve /metrics from a worker's main process where a port is set; what keeps it from that is one ERROR line."""
    if not settings.metrics_port:
        return
    if not _are_shared():
        logger.error(
            "tracking: metrics_port is %d, but no metrics are served, as those of pool children would be missing: "
            "export %s before the worker starts, naming a directory of this worker alone that is empty then",
            settings.metrics_port,
            DIRECTORY_VARIABLE,
        )
        return
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(RegistryFacts(settings))
    try:
        server, _ = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        logger.error(
            "tracking: metrics are not served at %s:%d: %s; give each worker of a host a metrics_port of its own",
            settings.metrics_host,
            settings.metrics_port,
            error.strerror or error,
        )
        return
    # A child that kept the socket would keep the port from the worker's next life, and answer nobody.
    os.register_at_fork(after_in_child=server.socket.close)


def _are_shared() -> bool:
    """Whether counts go into files; the library decided that when it was first imported."""
    directory = os.environ.get(DIRECTORY_VARIABLE, "")
    return directory != "" and Path(directory).is_dir() and values.ValueClass is not values.MutexValue


@dataclass(frozen=True)
class Facts:
    """What the registry says at one moment."""

    open: Mapping[str, int]
    overrunning: int
    rates: Sequence[Mapping[str, Any]]


class RegistryFacts(Collector):
    """What the whole registry says at the time of the scrape; nothing if it cannot be asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asking = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Gauges, or none."""
        facts = self._ask()
        if facts is None:
            return
        told = GaugeMetricFamily(OPEN_TASKS, "Open tasks of the whole registry, by their status.", labels=["status"])
        for status in sorted(OPEN):
            told.add_metric([status], facts.open.get(status, 0))
        yield told
        yield GaugeMetricFamily(OVERRUNNING, "Tasks executed for longer than they are allowed.", facts.overrunning)
        yield from _told_of(facts.rates)

    def _ask(self) -> Facts | None:
        """Ask in a thread of its own, as a frozen database holds whoever asks it; no more than one stays there."""
        deadline = time.monotonic() + _ASK_S
        if not self._asking.acquire(timeout=_ASK_S):
            return None
        answer: SimpleQueue[Facts | None] = SimpleQueue()

        def ask() -> None:
            facts = None
            try:
                with suppress(SQLAlchemyError):
                    facts = self._look()
            finally:
                self._asking.release()
                answer.put(facts)

        threading.Thread(target=ask, name="celery-tracker facts", daemon=True).start()
        with suppress(Empty):
            return answer.get(timeout=max(0.0, deadline - time.monotonic()))
        return None

    def _look(self) -> Facts:
        engine = open_engine(self._settings)  # of one look: a connection kept from scrape to scrape may be dead by then
        try:
            with engine.begin() as connection:
                connection.execute(text(f"SET LOCAL statement_timeout = {int(_ASK_S * 1000)}"))
                rows = connection.execute(_COUNT_OPEN, {"open": sorted(OPEN)}).all()
                allowed = {
                    "by_name": json.dumps(self._settings.task_allowed_s),
                    "allowed_s": self._settings.allowed_s,
                }
                overrunning = connection.execute(_COUNT_OVERRUNNING, allowed).scalar_one()
            counts = {row.status: row.tasks for row in rows}
            with suppress(SQLAlchemyError), engine.begin() as connection:  # the last, as it looks at the most
                connection.execute(text(f"SET LOCAL statement_timeout = {int(_RATES_S * 1000)}"))
                return Facts(counts, overrunning, rates(connection))
            return Facts(counts, overrunning, ())
        finally:
            engine.dispose()


def _told_of(windows: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    ended = GaugeMetricFamily(RECENTLY_ENDED, "Tasks that ended within a window of time.", labels=["window", "status"])
    shares = {
        "success_rate": GaugeMetricFamily(SUCCESS_RATE, "The share that succeeded.", labels=["window"]),
        "failure_rate": GaugeMetricFamily(FAILURE_RATE, "The share that failed.", labels=["window"]),
    }
    for each in windows:
        for status, name in (("SUCCESS", "succeeded"), ("FAILURE", "failed"), ("REVOKED", "revoked")):
            ended.add_metric([each["window"], status], each[name])
        for name, share in shares.items():
            if each[name] is not None:
                share.add_metric([each["window"]], each[name])
    yield ended
    yield from shares.values()


def _count(add: Callable[[], None]) -> None:
    """Never waits, never raises: a count that is lost harms no task."""
    _waiting.append(add)
    while _waiting and _counting.acquire(blocking=False):
        try:
            while _waiting:
                _waiting.popleft()()
        except Exception as error:  # noqa: BLE001 - the directory was removed, or its disk is full
            _tell_once(error)
        finally:
            _counting.release()


def _tell_once(error: Exception) -> None:
    global _broken  # noqa: PLW0603 - one line for each process
    if not _broken:
        logger.error("tracking: counts of this process are lost to metrics: %s: %s", type(error).__name__, error)
    _broken = True


def _go_on_in_child() -> None:
    _waiting.clear()  # what waits there is the parent's
    _counting.release()


os.register_at_fork(before=_counting.acquire, after_in_parent=_counting.release, after_in_child=_go_on_in_child)
