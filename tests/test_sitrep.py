"""The operations view: results that nobody has reported, sources that are away, and the command that prints it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from harness._processes import await_until
from harness._servers import Servers, open_redis, redis_url
from reference_impl.backend import keep_results
from reference_impl.cli_tasks import EXIT_FAILED, EXIT_UNREACHABLE
from reference_impl.client import TrackerClient
from reference_impl.connections import open_engine
from reference_impl.noted_results import NOTES, Noted, Notes, open_notes
from reference_impl.settings import Settings, load_settings
from reference_impl.sitrep import SitrepMetrics, Sitreps
from tests.conftest import API_TOKEN, Tracker

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")
"""Celery's own."""

OF_NOBODY = "redis://127.0.0.1:1/0"
FAILURE = {"exc_type": "ValueError", "exc_message": ["token=abcdef"], "exc_module": "builtins"}
A_LONG_TIME_S = 60.0


@pytest.fixture
def settings(registry_database: str, tmp_path: Path) -> Settings:
    """Those of this test's registry."""
    return load_settings(
        database_url=registry_database, spool_directory=tmp_path, sitrep_ttl_s=A_LONG_TIME_S, ping_timeout_s=0.2
    )


@pytest.fixture
def app(servers: Servers, settings: Settings) -> Iterator[Celery]:
    """An application whose results are kept there, and are noted."""
    url = redis_url(servers.redis, 5)
    with closing(open_redis(servers.redis, 5)) as client:
        client.flushdb()
    app = Celery("seen", backend=url, broker=url, set_as_current=False)
    keep_results(app, settings)
    yield app
    app.close()


@pytest.fixture
def notes(app: Celery, settings: Settings) -> Notes:
    """What it notes."""
    found = open_notes(app, settings)
    assert found is not None
    return found


def sitreps(engine: Engine, app: Celery | None, settings: Settings) -> Sitreps:
    """A view of its own."""
    return Sitreps(engine, app, settings, SitrepMetrics(CollectorRegistry()))


def adopt(notes: Notes, engine: Engine) -> Noted:
    """All that is noted."""
    notes.adopt(engine, time.monotonic() + A_LONG_TIME_S)
    return notes.count()


def record(engine: Engine, task_id: str) -> Any:
    """The record of a task."""
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM celery_task_registry WHERE task_id = :id"), {"id": task_id})
        return row.one_or_none()


def test_a_result_without_a_record_gets_one(app: Celery, notes: Notes, engine: Engine) -> None:
    """With what Celery has stored of it, secrets masked; the trail says where it comes from."""
    app.conf.result_extended = True
    app.backend.store_result("failed", FAILURE, "FAILURE")

    noted = adopt(notes, engine)

    row = record(engine, "failed")
    with engine.connect() as connection:
        trail = connection.execute(text("SELECT who, to_status FROM celery_task_audit")).all()
    assert noted == Noted(unread=0, adopted=1)
    assert (row.status, row.error_type, row.error_message) == ("FAILURE", "ValueError", "token=***")
    assert row.completed_at is not None
    assert trail == [("the result backend", "FAILURE")]


def test_a_record_that_is_there_is_left_alone(app: Celery, notes: Notes, engine: Engine) -> None:
    """Whatever it says: it knows more."""
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO celery_task_registry (task_id, status) VALUES ('known', 'STARTED')"))
    app.backend.store_result("known", 1, "SUCCESS")

    noted = adopt(notes, engine)

    assert noted == Noted(unread=0, known=1)
    assert record(engine, "known").status == "STARTED"


def test_what_is_no_end_makes_no_record(
    app: Celery, notes: Notes, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """Progress, nonsense, and what is gone by then are counted, and nonsense is logged."""
    for task_id in ("moving", "garbage", "list", "gone", "number"):
        app.backend.store_result(task_id, None, "PROGRESS")
    key = app.backend.get_key_for_task
    app.backend.client.set(key("garbage"), b"\x80\xff{")
    app.backend.client.set(key("number"), b"17")
    app.backend.client.delete(key("list"), key("gone"))
    app.backend.client.rpush(key("list"), "SUCCESS")

    noted = adopt(notes, engine)

    assert noted == Noted(unread=0, unfinished=1, malformed=3, gone=1)
    assert record(engine, "moving") is None
    assert [name for name in ("garbage", "list", "number") if name in caplog.text] == ["garbage", "list", "number"]


def test_ids_that_postgres_does_not_take(app: Celery, notes: Notes, engine: Engine) -> None:
    """Do not stand in the way of the others."""
    for task_id in ("nul\0", "x" * 300, "good"):
        app.backend.store_result(task_id, 1, "SUCCESS")

    assert adopt(notes, engine) == Noted(unread=0, adopted=1, malformed=2)


def test_many_are_read_in_turn_and_each_once(app: Celery, notes: Notes, engine: Engine) -> None:
    """More than fit into one batch, some of them long; what was read is not there to be read again."""
    for number in range(1200):
        app.backend.store_result(f"task-{number}", "x" * (20_000 if number % 100 == 0 else 1), "SUCCESS")
    app.backend.store_result("long", "x" * 2_000_000, "SUCCESS")

    first, again = adopt(notes, engine), adopt(notes, engine)

    assert first == again == Noted(unread=0, adopted=1201)
    assert record(engine, "long").status == "SUCCESS"
    assert app.backend.client.xlen(NOTES) == 0


def test_two_readers_do_not_count_twice(app: Celery, notes: Notes, engine: Engine) -> None:
    """While one reads, the other leaves it alone."""
    for number in range(50):
        app.backend.store_result(f"task-{number}", 1, "SUCCESS")
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(8278039)"))
        assert adopt(notes, engine) == Noted(unread=50)

    assert adopt(notes, engine) == Noted(unread=0, adopted=50)


def test_notes_do_not_outlive_results(app: Celery) -> None:
    """A note is of no use when its result has expired; Redis drops them by the hundred."""
    backend = app.backend
    for number in range(1, 251):
        backend.client.xadd(NOTES, {"task": "old"}, id=f"1-{number}")

    backend.store_result("new", 1, "SUCCESS")

    assert backend.client.xlen(NOTES) < 100


def test_only_redis_is_looked_into(settings: Settings, engine: Engine) -> None:
    """Of another backend the view says that it does not see what nobody has reported."""
    app = Celery("elsewhere", backend="cache+memory://", broker="memory://", set_as_current=False)

    sitrep = sitreps(engine, app, settings).latest(10)

    assert open_notes(app, settings) is None
    assert not sitrep.sources.results.answered
    assert "no Redis" in str(sitrep.sources.results.why)


@pytest.mark.usefixtures("lives")
def test_with_all_of_redis_away(settings: Settings, engine: Engine) -> None:
    """The registry stands in for workers, and each figure says whose it is."""
    app = Celery("alone", backend=OF_NOBODY, broker=OF_NOBODY, set_as_current=False)

    sitrep = sitreps(engine, app, settings).latest(10)

    told = sitrep.task_metrics
    assert (told.active_tasks, told.pending_tasks, told.completed_tasks, told.failed_tasks) == (0, 1, 2, 1)
    assert told.total_tasks == 4
    assert told.success_rate == pytest.approx(2 / 3)
    assert sitrep.origins["active_tasks"].source == "registry"
    assert not sitrep.sources.workers.answered
    assert not sitrep.sources.results.answered
    assert {line.task_id for line in sitrep.recent_tasks} == {"done", "expired", "failed"}


def test_with_everything_away(tmp_path: Path) -> None:
    """Nothing is known, and that is said; nothing is invented."""
    settings = load_settings(
        database_url="postgresql://nobody@127.0.0.1:1/none", spool_directory=tmp_path, ping_timeout_s=0.2
    )
    sitrep = sitreps(open_engine(settings), None, settings).latest(10)

    assert set(dict(sitrep.task_metrics).values()) == {None}
    assert {origin.source for origin in sitrep.origins.values()} == {None}
    assert not any(state.answered for _, state in sitrep.sources)


def test_who_comes_together_is_answered_by_one_gathering(settings: Settings, engine: Engine, app: Celery) -> None:
    """All of them at once; each answer is whole."""
    view = sitreps(engine, app, settings)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(view.latest(5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 8
    assert len({answer.gathered_at for answer in answers}) == 1


def test_who_comes_during_a_gathering_is_given_the_last_one(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the next one takes."""
    view = sitreps(engine, None, settings.model_copy(update={"sitrep_ttl_s": 0.0}))
    first = view.latest(5)
    slow, gather = threading.Event(), view._gather
    monkeypatch.setattr(view, "_gather", lambda: slow.wait() and gather())
    thread = threading.Thread(target=lambda: view.latest(5))
    thread.start()
    await_until("the next gathering", lambda: view._gathering.locked() or None, 10)

    assert view.latest(5).gathered_at == first.gathered_at
    slow.set()
    thread.join()
    assert view.latest(5).gathered_at > first.gathered_at


@pytest.mark.usefixtures("lives")
def test_the_newest_are_cut_for_each_who_asks(settings: Settings, engine: Engine) -> None:
    """One gathering serves every limit."""
    view = sitreps(engine, None, settings)

    assert len(view.latest(1).recent_tasks) == 1
    assert len(view.latest(100).recent_tasks) == 3


@pytest.mark.usefixtures("lives")
def test_a_program_asks(api_url: str) -> None:
    """Through the client, typed."""
    with TrackerClient(api_url, API_TOKEN) as client:
        sitrep = client.sitrep(limit=2)

    assert sitrep.task_metrics.completed_tasks == 2
    assert len(sitrep.recent_tasks) == 2


@pytest.mark.usefixtures("lives")
def test_somebody_asks(tracker: Tracker, api_url: str) -> None:
    """Tables with what has to be known of them; JSON for programs."""
    given = {"CELERY_TRACKER_URL": api_url, "CELERY_TRACKER_TOKEN": API_TOKEN}

    run = tracker("tasks", "sitrep", **given)
    as_json = tracker("tasks", "sitrep", "--json", "--limit", "1", **given)

    assert run.returncode == as_json.returncode == 0
    assert "66.7%" in run.stdout
    assert "Send ()" in run.stdout
    assert "workers did not answer: this API knows no application by which to reach workers" in run.stdout
    assert json.loads(as_json.stdout)["task_metrics"]["failed_tasks"] == 1


def test_somebody_asks_in_vain(tracker: Tracker, api_url: str) -> None:
    """Nobody answers there, or not to this token."""
    away = tracker("tasks", "sitrep", CELERY_TRACKER_URL="http://127.0.0.1:1", CELERY_TRACKER_TOKEN=API_TOKEN)
    wrong = tracker("tasks", "sitrep", CELERY_TRACKER_URL=api_url, CELERY_TRACKER_TOKEN="wrong")  # noqa: S106 - it is none

    assert (away.returncode, away.stdout) == (EXIT_UNREACHABLE, "")
    assert wrong.returncode != EXIT_FAILED
    assert "token" in wrong.stderr
