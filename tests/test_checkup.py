"""Checks of the stores: what is stale, which store is away, who checks, and what the commands say of it."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import Engine, text

from harness._servers import Servers, redis_url
from reference_impl.agent_rows import AgentWord, Step
from reference_impl.agents import Agents
from reference_impl.agreement import Kind
from reference_impl.checkup import look, status
from reference_impl.cli_check import EXIT_STALE
from reference_impl.cli_tasks import EXIT_UNREACHABLE
from reference_impl.lifecycle import Failed, Owner, Progressed, Published, Revoked, Started, Succeeded
from reference_impl.operations import clear_old_tasks
from reference_impl.recorder import Recorder
from reference_impl.registry import Registry
from reference_impl.reports import Report
from reference_impl.scheduled_check import check_if_due
from reference_impl.settings import Settings, load_settings
from tests.conftest import Tell, Tracker

OF_NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def settings(registry_database: str, tmp_path: Path) -> Settings:
    """Those of this test's registry, by which whatever is there is old enough."""
    return load_settings(database_url=registry_database, spool_directory=tmp_path, minimum_age_s=0, check_interval_s=60)


@pytest.fixture
def application(settings: Settings) -> Callable[[str], Celery]:
    """Makes an application whose agents keep their progress there."""

    def make(url: str) -> Celery:
        app = Celery("checked", backend=url, broker=url, set_as_current=False)
        app.tracking_agents = Agents(app, settings, Recorder(settings), lambda: "test")
        return app

    return make


def die(engine: Engine, task_id: str, *, renewed_s_ago: float) -> None:
    """Start a task on a worker whose lease was last renewed so long ago."""
    owner = Owner(uuid.uuid4(), uuid.uuid4())
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO celery_worker_incarnation (incarnation_id, node, pid, lease_s, started_at, renewed_at)
                VALUES (:id, 'w1@host', 1, 10, now(), clock_timestamp() - make_interval(secs => :age_s))
            """),
            {"id": owner.incarnation_id, "age_s": renewed_s_ago},
        )
    for event in (Published(), Started(owner)):
        Registry(engine).apply(Report(task_id, event, "w1@host", "as told", worker_id="w1@host"))


def test_a_record_is_stale_when_no_sweep_came(engine: Engine, settings: Settings) -> None:
    """A lease that has just run out is for the next sweep; one that ran out before the bound is told."""
    die(engine, "of late", renewed_s_ago=settings.lease_s + 1)
    die(engine, "for long", renewed_s_ago=settings.recovery_bound_s + 1)

    assert [(each.kind, each.task_id) for each in look(engine, None, settings).stale] == [
        (Kind.RECORD_WITHOUT_LIVE_TASK, "for long")
    ]


def test_what_has_just_ended_is_for_the_next_sweep(
    engine: Engine, settings: Settings, application: Callable[[str], Celery], servers: Servers, tell: Tell
) -> None:
    """Progress that a killed run has left is stale when the bound of its task's end is over, or by a grace of none."""
    app = application(redis_url(servers.redis, 4006))
    progress = app.tracking_agents.progress
    for event in (Published(), Started, Failed):
        tell("t", event)
    progress.put("t", None, None, "planner", progress.now(), {})

    at_once, strictly = look(engine, app, settings), look(engine, app, settings, grace_s=0.0)
    with engine.begin() as connection:
        connection.execute(text("UPDATE celery_task_registry SET completed_at = now() - interval '1 hour'"))
    later = look(engine, app, settings)
    progress.drop("t", None)

    assert [len(seen.stale) for seen in (at_once, strictly, later)] == [0, 1, 1]


def test_a_store_that_is_away_is_named(
    engine: Engine, settings: Settings, application: Callable[[str], Celery], tell: Tell
) -> None:
    """Without Redis the database's part is told all the same; without an application nobody asks Redis."""
    tell("t", Published())
    tell("t", Started)
    tell("t", Progressed, agent=AgentWord("planner", Step.BEGINS))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM celery_task_registry"))

    seen = look(engine, application(OF_NOBODY), settings)

    assert [each.kind for each in seen.stale] == [Kind.POINTS_AT_NOTHING]
    assert seen.stores["database"] is None
    assert "Connection" in str(seen.stores["progress"])
    assert look(engine, None, settings).stores == {"database": None}


def test_one_node_checks(
    engine: Engine,
    settings: Settings,
    application: Callable[[str], Celery],
    servers: Servers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever comes within the interval has nothing to do; what is stale is a WARNING, and the sum a line."""
    caplog.set_level(logging.INFO, "reference_impl.scheduled_check")
    die(engine, "t", renewed_s_ago=settings.recovery_bound_s + 1)
    app = application(redis_url(servers.redis, 4004))

    first = check_if_due(engine, app, settings, "a@host")
    second = check_if_due(engine, app, settings, "b@host")

    assert first is not None
    assert len(first.stale) == 1
    assert second is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.messages[1] == "tracking: check by a@host: 1 record-without-live-task"


def test_rates_leave_out_what_was_revoked(engine: Engine, tell: Tell) -> None:
    """Shares of what succeeded or failed, for each window; none where nothing ended."""
    with engine.connect() as connection:
        before = status(connection)["rates"]
    for number, end in enumerate((Succeeded, Succeeded, Succeeded, Failed, lambda _: Revoked(terminated=True))):
        tell(f"t{number}", Published())
        tell(f"t{number}", Started)
        tell(f"t{number}", end)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE celery_task_registry SET completed_at = now() - interval '30 minutes' WHERE task_id = 't0'")
        )
        after = {each["window"]: each for each in status(connection)["rates"]}

    assert {each["success_rate"] for each in before} == {None}
    assert {name: each["succeeded"] for name, each in after.items()} == {"5m": 2, "1h": 3, "24h": 3}
    assert (after["1h"]["success_rate"], after["1h"]["failure_rate"], after["1h"]["revoked"]) == (0.75, 0.25, 1)


def test_old_tasks_are_cleared_by_their_end(engine: Engine, tell: Tell) -> None:
    """A dry run counts them; open tasks stay, however old."""
    for task in ("old", "recent", "open"):
        tell(task, Published())
        tell(task, Started)
    for task in ("old", "recent"):
        tell(task, Succeeded)
    with engine.begin() as connection:
        connection.execute(text("UPDATE celery_task_registry SET queued_at = now() - interval '1 day'"))
        connection.execute(
            text("UPDATE celery_task_registry SET completed_at = now() - interval '1 day' WHERE task_id = 'old'")
        )

    counts = [clear_old_tasks(engine, 3600, dry_run=dry_run) for dry_run in (True, False, False)]

    with engine.connect() as connection:
        left = set(connection.execute(text("SELECT task_id FROM celery_task_registry")).scalars())
    assert (counts, left) == ([1, 1, 0], {"recent", "open"})


@pytest.fixture
def ask(tracker: Tracker, registry_database: str, servers: Servers) -> Callable[..., Any]:
    """Runs a command under `tasks`, for an application on the shared Redis."""
    url = redis_url(servers.redis, 4005)
    given = {
        "CELERY_TRACKING_DATABASE_URL": registry_database,
        "CELERY_TRACKING_LEASE_S": "0.9",
        "CELERY_TRACKING_HEARTBEAT_INTERVAL_S": "0.2",
        "CELERY_TRACKING_SWEEP_INTERVAL_S": "0.2",
        "CELERY_TRACKING_PING_TIMEOUT_S": "0.4",
        "CELERY_TRACKING_MINIMUM_AGE_S": "0",
        "CELERY_BROKER_URL": url,
        "CELERY_RESULT_BACKEND": url,
    }

    def run(*words: str, **more: str) -> Any:
        return tracker("tasks", *words, "--app", "reference_impl.app:app", **(given | more))

    return run


def test_the_check_command(engine: Engine, ask: Callable[..., Any]) -> None:
    """What is stale is told in all reports, with exit code 1; cleaned, nothing is."""
    die(engine, "t", renewed_s_ago=60)

    found, told = ask("check", "--json"), ask("check")
    cleaned, after = ask("check", "--clean", "--json"), ask("check", "--status")

    report = json.loads(found.stdout)
    assert [(each["kind"], each["task_id"]) for each in report["stale"]] == [("record-without-live-task", "t")]
    assert report["stores"] == {"database": True, "progress": True, "broker": True}
    assert "record-without-live-task" in told.stdout
    assert "1 thing is stale" in told.stdout
    assert [each["task_id"] for each in json.loads(cleaned.stdout)["cleaned"]] == ["t"]
    assert "0 things are stale" in after.stdout
    assert [run.returncode for run in (found, told, cleaned, after)] == [EXIT_STALE, EXIT_STALE, 0, 0]


def test_the_check_command_without_a_store(ask: Callable[..., Any]) -> None:
    """A store that cannot be asked is named, with the exit code that says so."""
    told = ask("check", CELERY_BROKER_URL=OF_NOBODY, CELERY_RESULT_BACKEND=OF_NOBODY)

    assert told.returncode == EXIT_UNREACHABLE
    assert "the progress cannot be asked" in told.stderr
    assert "the broker cannot be asked" in told.stderr


def test_the_monitor_commands(engine: Engine, ask: Callable[..., Any]) -> None:
    """Tables for people, JSON for programs; a task whose worker is silent is not said to be executed."""
    die(engine, "t", renewed_s_ago=0)

    active, table = ask("monitor", "active-tasks", "--json"), ask("monitor", "active-tasks")
    stuck, stats = ask("monitor", "stuck-tasks"), ask("monitor", "stats")
    cleared = ask("monitor", "clear-old-tasks", "--dry-run")

    (row,) = json.loads(active.stdout)
    assert (row["task_id"], row["executing"]) == ("t", None)
    assert "did not" in table.stdout
    assert "0 tasks" in stuck.stdout
    assert "open: 1 STARTED" in stats.stdout
    assert "0 tasks would be forgotten" in cleared.stdout
