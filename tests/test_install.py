"""Installing the tracker: one call, and the application stays what it was.

Each test runs a program of its own, because installing connects to the signals of the whole process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, select

from harness._embedded_servers import free_port
from harness._servers import LOOPBACK
from reference_impl.models import TaskRecord

Program = Callable[..., Any]

BEGINNING = """
import json, logging
from celery import Celery, Task
from reference_impl import InstallError, ConfigurationError, install

def refused(app, kind=InstallError):
    try:
        install(app)
    except kind as error:
        return str(error)

app = Celery("shop", broker="memory://", backend="cache+memory://")
"""


@pytest.fixture
def program(outside: dict[str, str]) -> Program:
    """Runs a program, whose last line prints one JSON value, and returns the value."""

    def run(text: str, **settings: str) -> Any:
        given = {f"CELERY_TRACKING_{name.upper()}": value for name, value in settings.items()}
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", BEGINNING + text],
            env=outside | given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    return run


@pytest.fixture
def nowhere() -> str:
    """The URL of a database that is not there; installing does not need it."""
    return f"postgresql://{LOOPBACK}:{free_port()}/registry"


def test_an_installed_tracker_says_so(program: Program, nowhere: str) -> None:
    """Installing returns the settings in force, attaches them, and adds the task that beat can call."""
    found = program(
        """
settings = install(app)
print(json.dumps([
    settings.lease_s,
    app.tracking_settings is settings,
    "celery_tracker.sweep" in app.tasks,
    app.tasks["celery_tracker.sweep"].ignore_result,
]))
""",
        database_url=nowhere,
        lease_s="30",
    )

    assert found == [30.0, True, True, True]


def test_the_applications_own_task_class_is_kept(program: Program, nowhere: str) -> None:
    """Tasks keep the class that the application gave them, and its hooks are called."""
    found = program(
        """
class Own(Task):
    seen = []
    def before_start(self, task_id, args, kwargs):
        self.seen.append(["before", list(args)])
    def on_success(self, retval, task_id, args, kwargs):
        self.seen.append(["after", retval])
app = Celery("shop", broker="memory://", backend="cache+memory://", task_cls="__main__:Own")
install(app)
@app.task
def double(x): return 2 * x
result = double.apply(args=[4]).get()
print(json.dumps([result, [kind.__name__ for kind in type(app.tasks[double.name]).__mro__[1:3]], Own.seen]))
""",
        database_url=nowhere,
    )

    assert found == [8, ["Task", "Own"], [["before", [4]], ["after", 8]]]


def test_installing_twice_is_refused(program: Program, nowhere: str) -> None:
    """A second installation would track everything twice; it is refused with the advice to call once."""
    said = program("install(app); print(json.dumps(refused(app)))", database_url=nowhere)

    assert "is installed in <Celery shop" in said
    assert "call install() once per application" in said


def test_settings_that_cannot_be_used_leave_the_application_alone(program: Program) -> None:
    """Without a database URL nothing is installed, and the next attempt can succeed."""
    found = program(
        f"""
import os
said = refused(app, ConfigurationError)
os.environ["CELERY_TRACKING_DATABASE_URL"] = "postgresql://{LOOPBACK}:1/registry"
install(app)
print(json.dumps(said))
"""
    )

    assert "database_url: Field required" in found


def test_a_task_runs_and_is_recorded(program: Program, registry_database: str, engine: Engine) -> None:
    """After one call to `install` an eager task has its record, and its caller the result."""
    result = program(
        """
install(app)
@app.task(name="double")
def double(x): return 2 * x
print(json.dumps(double.apply(args=[4], task_id="t").get()))
""",
        database_url=registry_database,
        write_timeout_s="20",
    )

    assert result == 8
    with engine.connect() as connection:
        (record,) = connection.execute(select(TaskRecord.__table__)).mappings().all()
    assert (record["task_id"], record["task_name"], record["status"]) == ("t", "double", "SUCCESS")
    assert (record["args"], record["result"]) == ([4], 8)


def test_a_task_runs_without_the_database(program: Program, nowhere: str) -> None:
    """Where the registry is away the caller has the result all the same."""
    result = program(
        """
install(app)
@app.task(name="double")
def double(x): return 2 * x
print(json.dumps(double.apply(args=[4]).get()))
""",
        database_url=nowhere,
    )

    assert result == 8
