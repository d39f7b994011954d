"""The HTTP API on a real Postgres: which answer stands for what, to whom, and that it survives its callers."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import Engine, text

from reference_impl.agent_rows import AgentWord, Step
from reference_impl.api import BODY_BYTES_MAX, create_api
from reference_impl.lifecycle import Failed, Progressed, Published, Started, Succeeded
from reference_impl.returned import form_of
from reference_impl.settings import ApiToken, Settings, load_settings
from reference_impl.stored_results import Kept, forget_expired, keep
from tests.conftest import Tell

TOKEN, ALICES = "token-of-everybody", "token-of-alice-only"
FULL = {"Authorization": f"Bearer {TOKEN}"}
ALICE = {"Authorization": f"Bearer {ALICES}"}


@pytest.fixture
def settings(registry_database: str, tmp_path: Path) -> Settings:
    """Two tokens; results over 1000 bytes are kept by reference."""
    return load_settings(
        database_url=registry_database,
        spool_directory=tmp_path / "spool",
        result_inline_bytes=1000,
        api_tokens=[ApiToken(token=SecretStr(TOKEN)), ApiToken(token=SecretStr(ALICES), owner="alice")],
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    """A client of the running API, with the token that sees everything."""
    with TestClient(create_api(settings), headers=FULL) as client:
        yield client


@pytest.fixture
def done(tell: Tell, settings: Settings, tmp_path: Path) -> Callable[..., None]:
    """Lets a task return a value."""

    def run(task_id: str, value: Any, *, owner: str | None = None, expires_s: float | None = None) -> None:
        kept = keep(form_of(value), settings, lambda: tmp_path)
        tell(task_id, Published(), owner=owner)
        tell(task_id, Started)
        tell(task_id, Succeeded, kept=Kept(**{**vars(kept), "expires_s": expires_s}))

    return run


def test_a_result_is_what_was_returned(api: httpx2.Client, done: Callable[..., None]) -> None:
    """200, and the JSON of the value with its digest."""
    done("t", {"status": "x", "n": [1, None]})

    answer = api.get("/tasks/t/result")

    assert (answer.status_code, answer.json()) == (200, {"status": "x", "n": [1, None]})
    assert answer.headers["Result-Size"] == str(len(answer.content))
    assert answer.headers["Content-Digest"].startswith("sha-256=:")


def test_a_large_result_is_somewhere_else(api: httpx2.Client, done: Callable[..., None], tmp_path: Path) -> None:
    """303 to where it is streamed, with its size; nothing of it stays in the spool directory."""
    value = "x" * 600_000
    done("t", value)

    sent = api.get("/tasks/t/result", follow_redirects=False)
    answer = api.get("/tasks/t/result", follow_redirects=True)

    assert (sent.status_code, sent.headers["Location"]) == (303, "/tasks/t/result/content")
    assert sent.headers["Result-Size"] == "600002"
    assert answer.json() == value
    assert hashlib.sha256(answer.content).hexdigest() == hashlib.sha256(json.dumps(value).encode()).hexdigest()


def test_why_there_is_no_result(api: httpx2.Client, done: Callable[..., None], tell: Tell) -> None:
    """Pending, unknown, failed, never kept and expired are five answers."""
    tell("waiting", Published())
    tell("failed", Published())
    tell("failed", Started)
    tell("failed", Failed, error_type="ValueError", error_message="no such town", error_traceback="Traceback ...")
    tell("ignored", Published())
    tell("ignored", Started)
    tell("ignored", Succeeded)
    done("expired", 1, expires_s=0.001)
    time.sleep(0.002)  # so long is the result kept

    answers = {task: api.get(f"/tasks/{task}/result") for task in ("waiting", "nobody", "failed", "ignored", "expired")}

    assert {task: answer.status_code for task, answer in answers.items()} == {
        "waiting": 202,
        "nobody": 404,
        "failed": 409,
        "ignored": 409,
        "expired": 410,
    }
    codes = {task: answer.json().get("code") for task, answer in answers.items()}
    assert codes == {
        "waiting": None,
        "nobody": "unknown",
        "failed": "exception",
        "ignored": "not-kept",
        "expired": "expired",
    }
    assert answers["failed"].json()["error"]["message"] == "no such town"
    assert answers["failed"].headers["content-type"] == "application/problem+json"
    gone = answers["expired"].json()
    assert gone["completed_at"] < gone["expired_at"]


def test_after_the_extended_expiry_nothing_is_known(
    api: httpx2.Client, done: Callable[..., None], settings: Settings, engine: Engine
) -> None:
    """What became of a task is known for as long as is set, and then forgotten with all that belongs to it."""
    done("t", "x" * 5000, expires_s=0.001)
    with engine.begin() as connection:
        connection.execute(text("UPDATE celery_task_registry SET completed_at = completed_at - interval '8 days'"))
        forgotten = forget_expired(connection, settings)

    tables = ("registry", "attempt", "audit", "result", "result_piece")
    with engine.connect() as connection:
        left = [connection.execute(text(f"SELECT count(*) FROM celery_task_{name}")).scalar() for name in tables]
    assert (forgotten, left) == (1, [0, 0, 0, 0, 0])
    assert api.get("/tasks/t").status_code == 404


def test_a_status_has_the_documented_fields(api: httpx2.Client, done: Callable[..., None]) -> None:
    """Every field of a status is there, whatever it is."""
    done("t", 1, expires_s=60.0)

    status = api.get("/tasks/t").json()

    assert list(status) == [
        "task_id",
        "name",
        "status",
        "ready",
        "successful",
        "progress",
        "error",
        "worker",
        "attempts",
        "queued_at",
        "started_at",
        "completed_at",
        "queue_seconds",
        "run_seconds",
        "result_expires_at",
        "result_state",
    ]
    assert (status["status"], status["ready"], status["worker"], status["attempts"]) == ("SUCCESS", True, "w1@host", 1)
    assert status["result_state"] == "available"


def test_who_waits_is_told_at_once(api: httpx2.Client, tell: Tell) -> None:
    """An answer that is held back comes when the task ends, not when the time is over."""
    tell("t", Published())
    tell("t", Started)
    ending = threading.Timer(0.3, lambda: tell("t", Succeeded))
    began = time.monotonic()
    ending.start()

    status = api.get("/tasks/t", params={"wait": 30}).json()

    assert status["ready"]
    assert time.monotonic() - began < 10


def test_who_waits_gets_what_is_true_when_the_time_is_over(api: httpx2.Client, tell: Tell) -> None:
    """The time is bounded, and so is how much of it one may ask for."""
    tell("t", Published())
    began = time.monotonic()

    assert api.get("/tasks/t", params={"wait": 0.5}).json()["status"] == "PENDING"
    assert 0.5 <= time.monotonic() - began < 5
    assert api.get("/tasks/t", params={"wait": 61}).status_code == 400


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic abc"}])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks"),
        ("GET", "/tasks/t"),
        ("GET", "/tasks/t/result"),
        ("GET", "/tasks/t/result/content"),
        ("POST", "/tasks/t/cancel"),
        ("GET", "/metrics"),
    ],
)
def test_without_a_token_nothing_is_told(
    settings: Settings, done: Callable[..., None], headers: dict[str, str], method: str, path: str
) -> None:
    """No token, a wrong one, another scheme: 401, and not a word about the task."""
    done("t", "the secret plan")
    with TestClient(create_api(settings)) as client:
        answer = client.request(method, path, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "secret" not in answer.text
    assert "mail.send" not in answer.text


def test_a_token_of_one_owner_sees_nothing_of_others(api: httpx2.Client, done: Callable[..., None], tell: Tell) -> None:
    """Another's task is as unknown as one that never was."""
    done("hers", 1, owner="alice")
    done("his", 2, owner="bob")
    tell("nobodys", Published())

    mine = api.get("/tasks", headers=ALICE).json()["tasks"]
    told = {task: api.get(f"/tasks/{task}/result", headers=ALICE) for task in ("hers", "his", "nobodys")}

    assert [task["task_id"] for task in mine] == ["hers"]
    assert {task: answer.status_code for task, answer in told.items()} == {"hers": 200, "his": 404, "nobodys": 404}
    assert api.post("/tasks/nobodys/cancel", headers=ALICE).status_code == 404
    assert len(api.get("/tasks").json()["tasks"]) == 3


def test_a_list_is_read_page_by_page(api: httpx2.Client, tell: Tell) -> None:
    """The newest first; a task that ends between two pages keeps its place; filters hold on each page."""
    for number in range(5):
        tell(f"t{number}", Published())
    first = api.get("/tasks", params={"limit": 2}).json()
    tell("t2", Started)
    second = api.get("/tasks", params={"limit": 2, "cursor": first["next"]}).json()
    third = api.get("/tasks", params={"limit": 2, "cursor": second["next"]}).json()

    pages = [[task["task_id"] for task in page["tasks"]] for page in (first, second, third)]
    assert pages == [["t4", "t3"], ["t2", "t1"], ["t0"]]
    assert third["next"] is None
    started = api.get("/tasks", params={"status": "STARTED", "name": "mail.send"}).json()["tasks"]
    assert [task["task_id"] for task in started] == ["t2"]


@pytest.mark.parametrize("cursor", ["x", "e30=", "WzEsMl0=", "WyIyMDI2LTAxLTAxIiwgInQiXQ==", "\u00ed"])
def test_a_cursor_that_was_never_given_is_refused(api: httpx2.Client, cursor: str) -> None:
    """400, and the reason."""
    assert api.get("/tasks", params={"cursor": cursor}).status_code == 400


def test_what_waits_is_cancelled_and_what_runs_only_where_asked(api: httpx2.Client, tell: Tell) -> None:
    """A task that has not begun is revoked; of one that runs, its worker has to be told; one that ended has ended."""
    tell("waiting", Published())
    tell("running", Published())
    tell("running", Started)

    cancelled = api.post("/tasks/waiting/cancel")
    again = api.post("/tasks/waiting/cancel")
    running = api.post("/tasks/running/cancel", json={"terminate": False})

    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "REVOKED")
    assert cancelled.json()["error"]["code"] == "revoked"
    assert (again.status_code, again.json()["code"]) == (409, "ended")
    assert (running.status_code, running.json()["code"]) == (409, "running")
    assert api.post("/tasks/nobody/cancel").status_code == 404


def test_oversized_and_malformed_requests_are_refused(api: httpx2.Client, tell: Tell) -> None:
    """A body over the limit, no JSON, wrong types, an id of 300 characters: 4xx, and the next one is served."""
    tell("t", Published())
    large = api.post("/tasks/t/cancel", content=b"x" * (BODY_BYTES_MAX + 1))
    broken = api.post("/tasks/t/cancel", content=b"{", headers={"Content-Type": "application/json"})
    wrong = api.post("/tasks/t/cancel", json={"terminate": "maybe"})
    long_id = api.get(f"/tasks/{'x' * 300}")

    assert [answer.status_code for answer in (large, broken, wrong, long_id)] == [413, 400, 400, 400]
    assert api.get("/tasks/t").status_code == 200


def test_a_database_that_is_away_is_told_as_such(settings: Settings) -> None:
    """503 for whoever asks, and an API that is not well."""
    gone = settings.model_copy(
        update={"database_url": load_settings(database_url="postgresql://x@127.0.0.1:1/x").database_url}
    )
    with TestClient(create_api(gone), headers=FULL) as client:
        answer, health = client.get("/tasks/t"), client.get("/health")

    assert (answer.status_code, answer.json()["code"]) == (503, "database")
    assert (health.status_code, health.json()) == (
        503,
        {"database": False, "progress": None, "changes": False, "stale": {}},
    )


def test_prometheus_is_told_of_requests_watchers_and_open_tasks(api: TestClient, tell: Tell) -> None:
    """By paths as they are described, so that nobody adds a series by asking; to who may see every task."""
    tell("t", Published())
    for path in ("/tasks/t", "/tasks/u", "/no/such/path", "/tasks/t?limit"):
        api.get(path)
    with api.websocket_connect("/tasks/t/monitor") as socket:
        socket.receive_json()
        told = api.get("/metrics")
    numbers = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(told.text)
        for sample in family.samples
    }

    assert told.headers["Content-Type"] == CONTENT_TYPE_LATEST
    assert numbers["celery_tracker_api_requests_total", "/tasks/{task_id}", "200"] == 2
    assert numbers["celery_tracker_api_requests_total", "/tasks/{task_id}", "404"] == 1
    assert numbers["celery_tracker_api_requests_total", "404", "other"] == 1
    assert numbers["celery_tracker_api_watchers",] == 1
    assert numbers["celery_tracker_api_hears_changes",] == 1
    assert numbers["celery_tracker_open_tasks", "PENDING"] == 1
    assert api.get("/metrics", headers=ALICE).status_code == 403


def test_what_agents_do_is_shown(api: httpx2.Client, tell: Tell) -> None:
    """Each by its name, to tokens that see every task; progress is not known without the application's Redis."""
    tell("t", Published())
    tell("t", Started)
    tell("t", Progressed, agent=AgentWord("planner", Step.BEGINS, phase="reading"))

    listed, one = api.get("/agents").json(), api.get("/agents/planner").json()

    assert listed == {"agents": [one]}
    assert (one["is_running"], one["current_task_id"], one["current_phase_message"]) == (True, "t", "reading")
    assert (one["progress"], one["progress_known"]) == (None, False)
    assert api.get("/agents/nobody").status_code == 404
    assert api.get("/agents", headers=ALICE).status_code == 403


def test_an_api_that_nobody_could_use_is_not_made(settings: Settings) -> None:
    """Without tokens there is none."""
    with pytest.raises(ValueError, match="api_tokens is empty"):
        create_api(settings.model_copy(update={"api_tokens": ()}))
