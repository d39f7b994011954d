"""The application's result backend with the tracker in it, on a real Redis: work that was done is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.app.task import Context
from celery.result import AsyncResult
from kombu.exceptions import EncodeError
from sqlalchemy import Engine

from harness._embedded_servers import free_port
from harness._servers import LOOPBACK, Servers
from reference_impl.backend import expires_s, keep_results
from reference_impl.lifecycle import Owner, Published, Started, Succeeded
from reference_impl.registry import Registry
from reference_impl.reports import Report
from reference_impl.settings import Settings, load_settings
from reference_impl.stored_results import Kept, find, note_told, pieces_of, untold, value_for_backend

# Celery's own way of storing results with an expiry.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

MakeApp = Callable[..., Celery]


@pytest.fixture
def settings(registry_database: str, tmp_path: Path) -> Settings:
    """Results over 1000 bytes are kept by reference; they expire after an hour."""
    return load_settings(
        database_url=registry_database, spool_directory=tmp_path, result_inline_bytes=1000, result_expires=3600
    )


@pytest.fixture
def make_app(servers: Servers, settings: Settings) -> Iterator[MakeApp]:
    """An application that keeps results, whose backend listens at a port."""
    made = []

    def make(port: int = 0) -> Celery:
        url = f"redis://{LOOPBACK}:{port or servers.redis.port}/9"
        app = Celery("kept", broker=url, backend=url, set_as_current=False)
        app.conf.result_backend_transport_options = {"retry_policy": {"max_retries": 0}}
        keep_results(app, settings)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


def finish(app: Celery, value: Any) -> Context:
    """Have the backend told that a task returned this."""
    request = Context({"id": uuid4().hex, "delivery_info": {}})
    app.backend.mark_as_done(request.id, value, request)
    return request


def test_what_json_holds_is_stored_as_ever(make_app: MakeApp) -> None:
    """The backend has the value itself, and the tracker its text."""
    app = make_app()
    request = finish(app, {"n": [1, None]})

    assert AsyncResult(request.id, app=app).get(timeout=5) == {"n": [1, None]}
    assert json.loads(request.tracking_kept.body) == {"n": [1, None]}
    assert (request.tracking_kept.told, request.tracking_kept.expires_s) == (True, 3600)


def test_what_no_serializer_takes_is_left_out(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """The rest is stored, and a WARNING names what is missing; of a value that is nothing else the task fails."""
    app = make_app()
    request = finish(app, {"n": 1, "lock": threading.Lock()})

    assert AsyncResult(request.id, app=app).get(timeout=5) == {"n": 1, "lock": "<_thread.lock>"}
    assert request.tracking_kept.left_out == ("result.lock: _thread.lock",)
    assert "without result.lock: _thread.lock" in caplog.text
    with pytest.raises(EncodeError):
        finish(app, threading.Lock())


def test_a_large_one_is_kept_by_reference_and_followed(
    make_app: MakeApp, settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    """The backend has a reference of some bytes; `.get()` gives the value; no file is left."""
    app = make_app()
    value = ["x" * 1000] * 1000
    request = finish(app, value)
    kept: Kept = request.tracking_kept

    assert AsyncResult(request.id, app=app).get(timeout=5) == value
    assert app.backend.client.strlen(app.backend.get_key_for_task(request.id)) < 1000
    assert kept.body_id is not None
    assert len(b"".join(pieces_of(engine, kept.body_id))) == kept.size_bytes
    assert list(tmp_path.iterdir()) == []


def test_a_large_one_waits_on_disk_while_the_database_is_away(
    make_app: MakeApp, engine: Engine, tmp_path: Path
) -> None:
    """The file stays, is written with the report of the end, and is no more after that."""
    away = load_settings(
        database_url=f"postgresql://x@{LOOPBACK}:{free_port()}/x", spool_directory=tmp_path, result_inline_bytes=10
    )
    app = Celery("kept", backend=make_app().conf.result_backend, set_as_current=False)
    keep_results(app, away)
    request = finish(app, "x" * 100)
    app.close()

    kept: Kept = request.tracking_kept
    assert Path(kept.file or "").read_text() == json.dumps("x" * 100)
    owner = Owner(uuid4(), uuid4())
    Registry(engine).apply(Report(request.id, Started(owner), "w1", "as told"))
    Registry(engine).apply(Report(request.id, Succeeded(owner), "w1", "as told", kept=kept))
    assert kept.body_id is not None
    assert b"".join(pieces_of(engine, kept.body_id)) == json.dumps("x" * 100).encode()
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_is_away_fails_no_task_and_is_told_later(
    make_app: MakeApp, engine: Engine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """What it could not take is marked, and found by whoever tells it later."""
    away = make_app(free_port())
    request = finish(away, {"n": 1})
    owner = Owner(uuid4(), uuid4())
    for event, kept in ((Published(), None), (Started(owner), None), (Succeeded(owner), request.tracking_kept)):
        Registry(engine).apply(Report(request.id, event, "w1", "as told", kept=kept))

    assert "does not know the end of task" in caplog.text
    with engine.begin() as connection:
        (row,) = untold(connection)
        assert (row.task_id, value_for_backend(row)) == (request.id, {"n": 1})
        note_told(connection, request.id)
        assert list(untold(connection)) == []


def test_a_failure_outside_any_execution_is_not_hidden(make_app: MakeApp) -> None:
    """Whoever stores an end from elsewhere is told that it was not stored."""
    away = make_app(free_port())

    with pytest.raises(Exception, match=r"(?i)connect|refused|retry"):
        away.backend.mark_as_failure("t", ValueError("x"))


def test_a_result_over_all_limits_is_left_to_the_backend(
    make_app: MakeApp, registry_database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is larger than `result_bytes_max` is not kept; an ERROR says so, and no file is left."""
    tight = load_settings(
        database_url=registry_database, spool_directory=tmp_path, result_inline_bytes=10, result_bytes_max=1024
    )
    app = Celery("kept", backend=make_app().conf.result_backend, set_as_current=False)
    keep_results(app, tight)
    request = finish(app, "x" * 5000)

    assert request.tracking_kept is None
    assert "result_bytes_max (1024 bytes)" in caplog.text
    assert AsyncResult(request.id, app=app).get(timeout=5) == "x" * 5000
    assert list(tmp_path.iterdir()) == []
    app.close()


def test_expiry_is_celerys_unless_it_is_set(make_app: MakeApp, registry_database: str) -> None:
    """A setting reaches Celery's own backend; without one, Celery's counts; 0 is for ever."""
    plain = Celery("plain", set_as_current=False)
    keep_results(plain, load_settings(database_url=registry_database))
    endless = Celery("endless", set_as_current=False)
    endless.conf.result_expires = 0

    assert make_app().backend.expires == 3600
    assert (expires_s(plain), expires_s(endless)) == (86400.0, None)


def test_what_is_found_of_a_result_tells_whether_it_has_expired(engine: Engine) -> None:
    """By the database's clock."""
    owner = Owner(uuid4(), uuid4())
    for task, expires in (("old", 0.0001), ("new", 60.0), ("ever", None)):
        Registry(engine).apply(Report(task, Started(owner), "w1", "as told"))
        kept = Kept(1, "ab", body=b"1", expires_s=expires)
        Registry(engine).apply(Report(task, Succeeded(owner), "w1", "as told", kept=kept))

    with engine.connect() as connection:
        rows = {task: find(connection, task) for task in ("old", "new", "ever")}
    assert {task: row is not None and row.expired for task, row in rows.items()} == {
        "old": True,
        "new": False,
        "ever": False,
    }
