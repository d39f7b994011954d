"""The command `celery-tracker` as a process of its own on a real database: what it prints, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from uuid import uuid4

import pytest
from sqlalchemy import Engine, inspect

from harness._embedded_servers import free_port
from harness._servers import LOOPBACK
from reference_impl.cli import EXIT_REFUSED
from reference_impl.cli_tasks import EXIT_UNKNOWN, EXIT_UNREACHABLE, EXIT_USAGE
from reference_impl.incarnation import Identity, register
from reference_impl.lifecycle import Event, Failed, Owner, Published, Started, Succeeded, WorkerLost
from reference_impl.registry import Registry
from reference_impl.reports import Report
from tests.conftest import Tracker


@pytest.fixture
def set_up(tracker: Tracker) -> Tracker:
    """Runs `celery-tracker ...` with these settings and no others."""

    def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return tracker(*arguments, **{f"CELERY_TRACKING_{name.upper()}": value for name, value in settings.items()})

    return run


def lives(engine: Engine) -> None:
    """One task of each kind: waiting, failed at the second attempt, done."""
    only, first, second = (Owner(uuid4(), uuid4()) for _ in range(3))
    events: list[tuple[str, Event, dict[str, str]]] = [
        ("done", Published(), {}),
        ("done", Started(only), {"worker_id": "w1@host"}),
        ("done", Succeeded(only), {"result": "fine"}),
        ("failed", Published(), {}),
        ("failed", Started(first), {"worker_id": "w1@host"}),
        ("failed", Started(second), {"worker_id": "w2@host"}),
        ("failed", Failed(second), {"error_type": "ValueError", "error_message": "no such town"}),
        ("failed", Succeeded(first), {}),
        ("waiting", Published(), {}),
    ]
    registry = Registry(engine)
    for task, event, said in events:
        registry.apply(Report(task, event, who="w1@host", why="as told", task_name="mail.send", **said))  # type: ignore[arg-type]


def test_migrating_makes_the_tables_once(set_up: Tracker, database: str, empty_engine: Engine) -> None:
    """`migrate` makes the registry's tables; a second time it finds them there."""
    runs = [set_up("migrate", database_url=database) for _ in range(2)]

    assert [run.returncode for run in runs] == [0, 0]
    assert [run.stdout for run in runs] == ["the registry is up to date\n"] * 2
    assert inspect(empty_engine).has_table("celery_task_registry")


def test_tables_of_another_version_are_told_and_brought_up(set_up: Tracker, registry_database: str) -> None:
    """`migrate --check` says whether the tables are this version's, on the way back and on the way up."""
    steps = [("--check",), ("--to", "-1"), ("--check",), (), ("--check",)]
    runs = [set_up("migrate", *flags, database_url=registry_database) for flags in steps]

    assert [run.returncode for run in runs] == [0, 0, 1, 0, 0]
    assert runs[1].stdout == "the registry is at -1\n"
    assert "celery_analysis" in runs[2].stderr
    assert "run `celery-tracker migrate`" in runs[2].stderr


def test_a_revision_that_is_not_there_is_a_clear_error(set_up: Tracker, registry_database: str) -> None:
    """`migrate --to` with a name that no revision has says so, and changes nothing."""
    run = set_up("migrate", "--to", "nowhere", database_url=registry_database)

    assert run.returncode == 2
    assert "nowhere" in run.stderr
    assert "Traceback" not in run.stderr
    assert set_up("migrate", "--check", database_url=registry_database).returncode == 0


def test_one_task_is_told_with_its_attempts_and_its_trail(
    set_up: Tracker, registry_database: str, engine: Engine
) -> None:
    """`tasks show --json` prints the record, every attempt, every transition and every refusal."""
    lives(engine)

    run = set_up("tasks", "show", "failed", "--json", database_url=registry_database)

    assert run.returncode == 0
    task = json.loads(run.stdout)
    assert (task["status"], task["error_type"], task["worker_id"]) == ("FAILURE", "ValueError", "w2@host")
    assert [attempt["worker_id"] for attempt in task["attempt_history"]] == ["w1@host", "w2@host"]
    assert [(entry["to_status"], entry["refused"]) for entry in task["audit"]] == [
        ("PENDING", False),
        ("STARTED", False),
        ("STARTED", False),
        ("FAILURE", False),
        ("SUCCESS", True),
    ]
    assert task["queue_seconds"] >= 0
    assert task["run_seconds"] >= 0


def test_one_task_is_shown_as_a_table(set_up: Tracker, registry_database: str, engine: Engine) -> None:
    """`tasks show` tells the record, attempts and trail, and marks what was refused."""
    lives(engine)

    run = set_up("tasks", "show", "failed", database_url=registry_database)

    assert run.returncode == 0
    assert "no such town" in run.stdout
    assert "SUCCESS (refused)" in run.stdout


def test_workers_are_told_with_their_leases(set_up: Tracker, registry_database: str, engine: Engine) -> None:
    """Whose lease holds is alive; whose has run out is unknown, unless the broker is asked; the rest is history."""
    for node, lease_s, task in (("here@host", 60.0, None), ("gone@host", 0.0, "t"), ("past@host", 0.0, None)):
        identity = Identity(uuid4(), node, 7)
        register(engine, identity, lease_s=lease_s)
        if task is not None:
            start = Started(Owner(identity.incarnation_id, uuid4()))
            Registry(engine).apply(Report(task, start, who=node, why="as told", worker_id=node))

    run = set_up("tasks", "workers", "--json", database_url=registry_database)
    table = set_up("tasks", "workers", database_url=registry_database)

    told = {worker["node"]: worker for worker in json.loads(run.stdout)}
    assert {node: (worker["liveness"], worker["open_attempts"]) for node, worker in told.items()} == {
        "here@host": ("alive", 0),
        "gone@host": ("unknown", 1),
    }
    assert 0 < told["here@host"]["lease_left_s"] <= 60.0
    assert table.returncode == 0
    assert "gone@" in table.stdout


def test_lost_tasks_are_listed(set_up: Tracker, registry_database: str, engine: Engine) -> None:
    """Ends that a task did not come to by itself, and no others."""
    lives(engine)
    registry = Registry(engine)
    owner = Owner(uuid4(), uuid4())
    for event, reason in (
        (Published(), None),
        (Started(owner), None),
        (WorkerLost(owner.attempt_id, False), "worker-lost"),
    ):
        registry.apply(Report("taken", event, who="sweep", why="as told", reason=reason))

    run = set_up("tasks", "lost", "--json", database_url=registry_database)

    assert [(task["task_id"], task["reason"]) for task in json.loads(run.stdout)] == [("taken", "worker-lost")]


def test_a_task_that_is_not_requeued_says_why(set_up: Tracker, registry_database: str, engine: Engine) -> None:
    """One line on standard error, an exit code of its own, and nothing has changed."""
    lives(engine)
    app = "--app=reference_impl.app:app"

    runs = [set_up("tasks", "requeue", task, app, database_url=registry_database) for task in ("done", "nobody")]

    assert [run.returncode for run in runs] == [EXIT_REFUSED] * 2
    assert runs[0].stderr == (
        "done is not requeued: it ended as SUCCESS, and not by a loss: publish it anew, under another id\n"
    )
    assert runs[1].stderr == "nobody is not requeued: there is no such task in the registry\n"


def test_an_unknown_task_is_an_exit_code_of_its_own(set_up: Tracker, registry_database: str) -> None:
    """A task that the registry does not know is told in one line on standard error."""
    run = set_up("tasks", "show", "nobody", "--json", database_url=registry_database)

    assert run.returncode == EXIT_UNKNOWN
    assert run.stdout == ""
    assert run.stderr == "no task 'nobody' in the registry\n"


def test_missing_settings_are_told_in_one_message(set_up: Tracker) -> None:
    """Without a database URL the command says which setting is missing and where to put it."""
    run = set_up("tasks", "lost")

    assert run.returncode == EXIT_USAGE
    assert run.stdout == ""
    assert "database_url: Field required" in run.stderr
    assert "set CELERY_TRACKING_<NAME> in the environment" in run.stderr


def test_a_database_that_cannot_be_reached_is_told_without_its_password(set_up: Tracker) -> None:
    """Where nobody listens, the command names the database, the cause, and no password."""
    port = free_port()

    run = set_up("tasks", "lost", database_url=f"postgresql://me:hunter2@{LOOPBACK}:{port}/registry")

    assert run.returncode == EXIT_UNREACHABLE
    assert f"the registry at postgresql+psycopg://me:***@{LOOPBACK}:{port}/registry failed: " in run.stderr
    assert "Connection refused" in run.stderr
    assert "hunter2" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    "arguments",
    [("tasks", "lost"), ("tasks", "cleanup", "--app=reference_impl.app:app")],
    ids=["lost", "cleanup"],
)
def test_missing_tables_name_the_command_that_makes_them(
    set_up: Tracker, database: str, arguments: tuple[str, ...]
) -> None:
    """On a database without the registry the command says how to make it."""
    run = set_up(*arguments, database_url=database)

    assert run.returncode == EXIT_UNREACHABLE
    assert "its tables are missing: run `celery-tracker migrate` first" in run.stderr


def test_an_application_that_does_not_load_is_named(set_up: Tracker, registry_database: str) -> None:
    """An application that cannot be loaded is refused with the cause, before the database is touched."""
    run = set_up("tasks", "cleanup", "--app", "no_such_module:app", database_url=registry_database)

    assert run.returncode == EXIT_USAGE
    assert run.stderr.startswith("--app 'no_such_module:app': cannot be loaded: ModuleNotFoundError: ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("-h",), ["migrate", "tasks", "api"]),
        (("--version",), [f"celery-tracker {version('celery-conformance')}"]),
        (("tasks", "wait", "--help"), ["--timeout", "300"]),
        (("tasks", "cleanup", "--help"), ["--app", "--dry-run", "--force", "--json"]),
    ],
    ids=["celery-tracker", "version", "wait", "cleanup"],
)
def test_the_help_names_what_there_is(set_up: Tracker, arguments: tuple[str, ...], named: list[str]) -> None:
    """Help needs neither settings nor a database."""
    run = set_up(*arguments)

    assert run.returncode == 0
    assert [name for name in named if name not in run.stdout] == []


def test_without_its_extra_the_command_says_what_to_install() -> None:
    """The harness alone is installed without a database library."""
    command = "import sys; sys.modules['sqlalchemy'] = None; import celery_conformance; celery_conformance.tracker()"

    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "celery-tracker needs sqlalchemy: pip install 'celery-conformance[tracker]'\n"
