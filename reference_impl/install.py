"""Installing the tracker into an application: one call, before its tasks are used."""

from __future__ import annotations

from typing import Any

from celery import Celery, Task
from kombu.utils.imports import symbol_by_name

from reference_impl import rollcall  # noqa: F401 - importing it gives workers the answer to the roll call
from reference_impl.registry import open_engine
from reference_impl.settings import Settings, load_settings
from reference_impl.signals import Handlers
from reference_impl.sweep import sweep
from reference_impl.task import TrackedTask

SWEEP_TASK = "celery_tracker.sweep"


class InstallError(Exception):
    """The tracker cannot be installed like this; the message says how it can."""


def install(app: Celery, settings: Settings | None = None) -> Settings:
    """Track every task of `app`, in each process that imports it.

    Call it in the module that makes the application, before tasks are defined on it. Settings come from
    environment and file unless given. It adds the task `celery_tracker.sweep`, for beat schedules of
    deployments that want a sweep besides the workers' own.

    Raises InstallError when called twice or too late, ConfigurationError when the settings cannot be used.
    """
    if hasattr(app, "tracking_settings"):
        raise InstallError(f"the tracker is installed in {app!r} already; call install() once per application")
    if app.finalized or "Task" in vars(app):
        raise InstallError(
            f"the tasks of {app!r} exist already; call install(app) right after the application is made, "
            "before its first task is defined or used"
        )
    used = settings or load_settings()
    app.tracking_settings = used
    base: type[Any] = symbol_by_name(app.task_cls)  # type: ignore[no-untyped-call]
    app.task_cls = _tracked(base)
    app.task(name=SWEEP_TASK, ignore_result=True)(_sweep_task(app, used))
    Handlers(app, used).connect()
    return used


def _tracked(base: type[Any]) -> type[Any]:
    if base is Task:
        return TrackedTask
    return type("TrackedTask", (TrackedTask, base), {"abstract": True})


def _sweep_task(app: Celery, settings: Settings) -> Any:
    def run() -> int:
        """One sweep; returns how many tasks it took away from dead workers."""
        engine = open_engine(settings, pool_size=2)
        try:
            return sweep(engine, app, settings, by="beat").closed
        finally:
            engine.dispose()

    return run
