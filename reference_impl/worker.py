"""What a worker's main process does for tracking: registers its incarnation, keeps its keeper, sweeps."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable

from celery import Celery
from sqlalchemy import Engine

from reference_impl import incarnation, metrics
from reference_impl.analysis.persistence import tend
from reference_impl.connections import open_engine
from reference_impl.incarnation import Identity, start_keeper
from reference_impl.left_behind import write_what_was_left
from reference_impl.settings import Settings
from reference_impl.sweep import sweep
from reference_impl.sweep_report import Finding

logger = logging.getLogger(__name__)


class Sweeper:
    """A thread that sweeps at once and then at every interval, and sees to it that the keeper lives."""

    def __init__(self, app: Celery, settings: Settings, identity: Identity) -> None:
        self._app = app
        self._settings = settings
        self._identity = identity
        self._stopping = threading.Event()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._told: tuple[Finding, ...] = ()
        self._failures: dict[str, str] = {}

    def register(self) -> None:
        """Take up the lease before the first task can be claimed, or leave that to the keeper if it takes long."""
        self._keeper = start_keeper(self._settings, self._identity)
        _bounded("worker registration", self._settings.write_timeout_s * 4, self._register)

    def start(self) -> None:
        """Begin to sweep, and to serve metrics; the first pass is the sweep at worker start."""
        metrics.serve(self._settings)
        threading.Thread(target=self._run, name="celery-tracker sweeper", daemon=True).start()
        if self._settings.analysis_services:
            threading.Thread(target=self._tend_files, name="celery-tracker files", daemon=True).start()

    def stop(self) -> None:
        """No further pass; the keeper ends with the process."""
        self._stopping.set()

    def _register(self) -> None:
        engine = open_engine(self._settings)
        try:
            incarnation.register(engine, self._identity, self._settings.lease_s)
        finally:
            engine.dispose()

    def _run(self) -> None:
        engine = open_engine(self._settings, pool_size=2)
        while not self._stopping.is_set():
            began = time.monotonic()
            self._attempt("inheritance", lambda: write_what_was_left(engine, self._settings))
            self._attempt("sweep", lambda: self._sweep_once(engine))
            self._tend_keeper()
            interval_s = self._settings.sweep_interval_s
            # From the beginning of one pass to that of the next; one that takes long leaves the database a moment.
            self._stopping.wait(max(began + interval_s - time.monotonic(), interval_s / 5))

    def _attempt(self, what: str, work: Callable[[], None]) -> None:
        """A part of a pass that fails must not end the worker or the next pass; each new cause is told once."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - see above
            original = getattr(error, "orig", None) or error
            cause = f"{type(original).__name__}: {' '.join(str(original).split())}"
            if cause != self._failures.get(what):
                logger.error("tracking: %s by %s failed: %s", what, self._identity.node, cause)
            self._failures[what] = cause
        else:
            self._failures.pop(what, None)

    def _sweep_once(self, engine: Engine) -> None:
        report = sweep(
            engine,
            self._app,
            self._settings,
            by=f"sweep {self._identity.node}",
            own=self._identity.incarnation_id,
            told=self._told,
        )
        if report.skipped is None:
            self._told = report.findings

    def _tend_files(self) -> None:
        """Apart from the sweeps, as a disk that hangs must not keep these from their work."""
        engine = open_engine(self._settings)
        while not self._stopping.wait(self._settings.sweep_interval_s):
            self._attempt("files of analyses", lambda: tend(engine, self._settings))

    def _tend_keeper(self) -> None:
        if self._keeper is not None and self._keeper.poll() is not None and not self._stopping.is_set():
            logger.error(
                "tracking: the keeper of %s ended (%s); starting another", self._identity.node, self._keeper.returncode
            )
            self._keeper = start_keeper(self._settings, self._identity)


def _bounded(what: str, timeout_s: float, work: Callable[[], None]) -> None:
    """Do `work` in the background and wait for it for `timeout_s` at most."""

    def attempt() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - tracking trouble must not keep a worker from starting
            logger.error("tracking: %s failed: %s: %s", what, type(error).__name__, " ".join(str(error).split()))
            metrics.tracking_failed()

    thread = threading.Thread(target=attempt, name=f"celery-tracker {what}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        logger.error("tracking: %s takes longer than %g s; it goes on in the background", what, timeout_s)
