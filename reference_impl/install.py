"""Installing the tracker into an application: one call, before its tasks are used."""

from __future__ import annotations

from typing import Any

from celery import Celery

from reference_impl import (
    incarnation,
    rollcall,  # noqa: F401 - importing it gives workers the answer to the roll call
)
from reference_impl.analysis.task import add_analysis
from reference_impl.backend import keep_results
from reference_impl.connections import open_engine
from reference_impl.scheduled_check import check_if_due
from reference_impl.settings import Settings, load_settings
from reference_impl.signals import Handlers
from reference_impl.sweep import sweep

SWEEP_TASK = "celery_tracker.sweep"
CHECK_TASK = "celery_tracker.check"


class InstallError(Exception):
    """The tracker is installed already; the message says how to call it once."""


def install(app: Celery, settings: Settings | None = None) -> Settings:
    """Track every task of `app`, in each process that imports it.

    Call it in the module that makes the application. Settings come from environment and file unless given.
    It adds the task `celery_tracker.sweep`, for beat schedules of deployments that want a sweep besides the
    workers' own, and the task `celery_tracker.check`, which beat asks for every `check_interval_s` where that is set.

    Raises InstallError when called twice, ConfigurationError when the settings cannot be used.
    """
    if hasattr(app, "tracking_settings"):
        raise InstallError(f"the tracker is installed in {app!r} already; call install() once per application")
    used = settings or load_settings()
    app.tracking_settings = used
    keep_results(app, used)
    app.task(name=SWEEP_TASK, ignore_result=True)(_sweep_task(app, used))
    app.task(name=CHECK_TASK, ignore_result=True)(_check_task(app, used))
    add_analysis(app, used)
    if used.check_interval_s is not None:
        every_s = used.check_interval_s
        app.add_periodic_task(every_s, app.signature(CHECK_TASK), name=CHECK_TASK, expires=every_s)
    Handlers(app, used).connect()
    return used


def _check_task(app: Celery, settings: Settings) -> Any:
    def run() -> int | None:
        """One check, unless another node has made it; returns how much is stale."""
        engine = open_engine(settings)
        identity = incarnation.current()
        try:
            seen = check_if_due(engine, app, settings, identity.node if identity else "no worker")
            return None if seen is None else len(seen.stale)
        finally:
            engine.dispose()

    return run


def _sweep_task(app: Celery, settings: Settings) -> Any:
    def run() -> int:
        """One sweep; returns how many tasks it took away from dead workers."""
        engine = open_engine(settings, pool_size=2)
        try:
            return sweep(engine, app, settings, by="beat").closed
        finally:
            engine.dispose()

    return run
