"""A task tracker for Celery that keeps the promises of this project's catalogue.

`install(app)` is all an application calls. Signal handlers (`signals`) translate what Celery says into events;
`lifecycle` decides what each does to a record; `registry` writes it; `recorder` keeps that from hurting a task.
Beside each worker a `keeper` renews its lease; `sweep` closes the tasks of workers that two witnesses call dead.
"""

from reference_impl.agents import agent_memory, agent_run
from reference_impl.analysis import NotAnalysedError, analyse
from reference_impl.connections import open_sessions
from reference_impl.install import InstallError, install
from reference_impl.progress import ProgressError, report_progress
from reference_impl.settings import ConfigurationError, Settings, load_settings

__all__ = [
    "ConfigurationError",
    "InstallError",
    "NotAnalysedError",
    "ProgressError",
    "Settings",
    "agent_memory",
    "agent_run",
    "analyse",
    "install",
    "load_settings",
    "open_sessions",
    "report_progress",
]
