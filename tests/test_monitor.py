"""Watching over a WebSocket: how a task stands, what changes, to whom, and that nobody keeps the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import Engine, text
from starlette.websockets import WebSocketDisconnect

from reference_impl.api import create_api
from reference_impl.changes import Changes
from reference_impl.connections import open_engine
from reference_impl.lifecycle import Failed, Progressed, Published, Revoked, Started, Succeeded
from reference_impl.monitor import MISTAKES_MAX, TASKS_MAX
from reference_impl.settings import ApiToken, Settings, load_settings
from tests.conftest import Tell

TOKEN, ALICES = "token-of-everybody", "token-of-alice-only"
FULL = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def settings(registry_database: str) -> Settings:
    """Two tokens, one of which sees the tasks of alice only."""
    tokens = [ApiToken(token=SecretStr(TOKEN)), ApiToken(token=SecretStr(ALICES), owner="alice")]
    return load_settings(database_url=registry_database, api_tokens=tokens)


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    """The running API."""
    with TestClient(create_api(settings), headers=FULL) as client:
        yield client


def test_a_task_is_followed_to_its_end(api: TestClient, tell: Tell) -> None:
    """How it stands comes first, then each change with a higher number, then the end, and the socket is closed."""
    tell("t", Published())
    with api.websocket_connect("/tasks/t/monitor") as socket:
        heard = [socket.receive_json()]
        tell("t", Started)
        heard.append(socket.receive_json())
        tell("t", Progressed, progress={"state": "PROGRESS", "meta": {"current": 1, "total": 4}})
        heard.append(socket.receive_json())
        tell("t", Succeeded)
        heard.append(socket.receive_json())
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()

    assert [message["type"] for message in heard] == [*["task_progress"] * 3, "task_completed"]
    assert [message["status"] for message in heard] == ["PENDING", "STARTED", "STARTED", "SUCCESS"]
    assert [message["sequence"] for message in heard] == [0, 1, 2, 3]
    assert heard[2]["progress"]["percent"] == 25.0
    assert closed.value.code == 1000


def test_a_message_has_the_fields_of_a_status(api: TestClient, tell: Tell) -> None:
    """What is pushed is what the API answers, with a type and a number."""
    tell("t", Published())
    tell("t", Started)
    tell("t", Failed, error_type="ValueError", error_message="no such town")
    with api.websocket_connect("/tasks/t/monitor") as socket:
        message = socket.receive_json()

    assert message.pop("type") == "task_failed"
    assert message.pop("sequence") == 2
    assert message == api.get("/tasks/t").json()


def test_who_comes_back_hears_what_is_newer(api: TestClient, tell: Tell) -> None:
    """After the last number that was heard nothing is repeated, and the end is not missed."""
    tell("t", Published())
    tell("t", Started)
    with api.websocket_connect("/tasks/t/monitor") as socket:
        last = socket.receive_json()["sequence"]
    tell("t", Revoked(terminated=True), error_message="terminated")
    with api.websocket_connect(f"/tasks/t/monitor?after={last}") as socket:
        message = socket.receive_json()

    assert (message["type"], message["sequence"]) == ("task_revoked", last + 1)


def test_one_socket_follows_many_tasks(api: TestClient, tell: Tell) -> None:
    """Subscribed one by one, and let go again; unknown ones are told as such."""
    for task in ("a", "b"):
        tell(task, Published())
    with api.websocket_connect("/monitor") as socket:
        for task in ("a", "b", "nobody"):
            socket.send_json({"type": "subscribe_task", "task_id": task})
        first = {message.get("task_id"): message["type"] for message in (socket.receive_json() for _ in range(3))}
        socket.send_json({"type": "unsubscribe_task", "task_id": "a"})
        socket.send_json({"type": "nonsense"})
        malformed = socket.receive_json()
        tell("a", Started)
        tell("b", Started)
        after = socket.receive_json()

    assert first == {"a": "task_progress", "b": "task_progress", "nobody": "error"}
    assert malformed == {"type": "error", "code": "malformed"}
    assert (after["task_id"], after["status"]) == ("b", "STARTED")


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize("path", ["/monitor", "/tasks/t/monitor"])
def test_without_a_token_no_socket_is_opened(api: TestClient, tell: Tell, headers: dict[str, str], path: str) -> None:
    """It is refused before anything is said."""
    tell("t", Published())

    with pytest.raises(WebSocketDisconnect):
        api.websocket_connect(path, headers=headers).__enter__()


def test_a_browser_gives_its_token_as_a_subprotocol(api: TestClient, tell: Tell) -> None:
    """Browsers cannot set headers; another's task is unknown to them as well."""
    tell("hers", Published(), owner="alice")
    tell("his", Published(), owner="bob")
    offered = ["celery-tracker", f"bearer.{ALICES}"]
    with api.websocket_connect("/monitor", subprotocols=offered, headers={"Authorization": ""}) as socket:
        accepted = socket.accepted_subprotocol
        for task in ("hers", "his"):
            socket.send_json({"type": "subscribe_task", "task_id": task})
        heard = {message["task_id"]: message["type"] for message in (socket.receive_json() for _ in range(2))}

    assert str(accepted) == "celery-tracker"
    assert heard == {"hers": "task_progress", "his": "error"}


def test_a_reader_may_not_ask_for_everything(api: TestClient) -> None:
    """Subscriptions are bounded, and so is how often one may be misunderstood."""
    with api.websocket_connect("/monitor") as socket:
        for number in range(TASKS_MAX + 1):
            socket.send_json({"type": "subscribe_task", "task_id": f"t{number}"})
        codes = {socket.receive_json()["code"] for _ in range(TASKS_MAX + 1)}
        for _ in range(MISTAKES_MAX):
            socket.send_text("x" * 10_000)
        misunderstood = [socket.receive_json()["code"] for _ in range(MISTAKES_MAX)]
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()

    assert misunderstood == ["malformed"] * MISTAKES_MAX
    assert codes == {"unknown", "too-many"}


def test_many_watchers_have_one_subscription(settings: Settings, engine: Engine, tell: Tell) -> None:
    """Of 200 readers of one task each hears of its end, and the database sees one listener and few looks."""
    tell("t", Published())

    async def watch() -> tuple[int, int, float]:
        own = open_engine(settings, pool_size=2)
        changes = Changes(settings, own)
        listening = asyncio.create_task(changes.run())
        while not changes.connected:  # noqa: ASYNC110 - there is no event of it
            await asyncio.sleep(0.01)
        with engine.connect() as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'celery-tracker changes'"
            query += " AND datname = current_database()"
            watchers = []
            for _ in range(200):
                watcher = changes.watching().__enter__()
                changes.subscribe(watcher, "t")
                watchers.append(watcher)
            first = [await watcher.next() for watcher in watchers]
            listeners = connection.execute(text(query)).scalar_one()
        began = time.monotonic()
        tell("t", Revoked(terminated=False))
        last = [await watcher.next() for watcher in watchers]
        listening.cancel()
        own.dispose()
        assert all(sighting is not None and sighting.status.ready for _, sighting in last)
        return listeners, len(first), time.monotonic() - began

    listeners, first, took_s = asyncio.run(watch())

    assert (listeners, first) == (1, 200)
    assert took_s < 5


def test_a_slow_reader_finds_the_newest_state_only(settings: Settings, tell: Tell) -> None:
    """What was overtaken while nobody looked is left out; the number tells that it was."""
    tell("t", Published())

    async def watch() -> list[int]:
        own = open_engine(settings, pool_size=2)
        changes = Changes(settings, own)
        listening = asyncio.create_task(changes.run())
        seen = []
        with changes.watching() as watcher:
            changes.subscribe(watcher, "t")
            seen.append((await watcher.next())[1])
            tell("t", Started)
            for step in range(5):
                tell("t", Progressed, progress={"meta": {"current": step}})
            tell("t", Succeeded)
            while not (seen[-1] and seen[-1].status.ready):
                seen.append((await watcher.next())[1])
        listening.cancel()
        own.dispose()
        return [sighting.version for sighting in seen if sighting]

    versions = asyncio.run(watch())

    assert versions == sorted(set(versions))
    assert versions[-1] == 7
