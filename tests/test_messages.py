"""Original messages on a real Postgres and a real broker: kept as received, and sent again byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import Engine

from harness._servers import LOOPBACK, Servers
from reference_impl.lifecycle import Owner, Published, Succeeded
from reference_impl.messages import Message, NotKeptError, NotSentError, find, forget_ended, keep, send
from reference_impl.registry import Registry
from reference_impl.reports import Report

REDIS_DATABASE = 8
QUEUE = "messages"
ROOM = 100_000


@pytest.fixture
def app(servers: Servers) -> Iterator[Celery]:
    """An application with a broker, and nobody who consumes."""
    made = Celery(broker=f"redis://{LOOPBACK}:{servers.redis.port}/{REDIS_DATABASE}", set_as_current=False)
    yield made
    made.close()


def received(app: Celery) -> Any:
    """The next message of the queue, as a worker gets it."""
    with app.connection_for_read() as connection, connection.SimpleQueue(QUEUE) as queue:
        message = queue.get(timeout=5)
        message.ack()
        return message


def content(message: Any) -> tuple[Any, ...]:
    """What a task is made of."""
    told = {name: value for name, value in message.headers.items() if value is not None}
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    return body, message.content_type, message.content_encoding, told


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_message_goes_out_again_as_it_came(app: Celery, engine: Engine, compression: str | None) -> None:
    """Body, headers, priority and kind of content are the same, whether or not it came compressed."""
    app.send_task("mail.send", [{"token": "secret"}], task_id="t", queue=QUEUE, priority=3, compression=compression)
    first = received(app)
    with engine.begin() as connection:
        keep(connection, "t", Message.received(first, limit_bytes=ROOM))
    with engine.begin() as connection:
        send(app, find(connection, "t"))

    again = received(app)
    first.headers.pop("compression", None)
    assert content(again) == content(first)
    assert again.properties["correlation_id"] == first.properties["correlation_id"] == "t"
    assert again.properties["priority"] == first.properties["priority"] == 3


def test_a_message_over_the_limit_is_not_kept(app: Celery, engine: Engine) -> None:
    """Its size is, and whoever looks for it is told."""
    app.send_task("mail.send", ["x" * 1000], task_id="t", queue=QUEUE)
    with engine.begin() as connection:
        keep(connection, "t", Message.received(received(app), limit_bytes=500))

    with engine.begin() as connection, pytest.raises(NotKeptError, match=r"its message of \d{4} bytes is over"):
        find(connection, "t")
    with engine.begin() as connection, pytest.raises(NotKeptError, match="no message of it was kept"):
        find(connection, "another")


def test_messages_of_tasks_that_have_ended_are_forgotten(app: Celery, engine: Engine) -> None:
    """What runs keeps its message."""
    registry = Registry(engine)
    for task_id in ("ended", "running"):
        app.send_task("mail.send", task_id=task_id, queue=QUEUE)
        owner = Owner(None, None)
        registry.apply(Report(task_id, Published(), "w1", "published"))
        with engine.begin() as connection:
            keep(connection, task_id, Message.received(received(app), limit_bytes=ROOM))
        if task_id == "ended":
            registry.apply(Report(task_id, Succeeded(owner), "w1", "returned"))
    with engine.begin() as connection:
        forget_ended(connection)

    with engine.begin() as connection:
        assert find(connection, "running").body
        with pytest.raises(NotKeptError):
            find(connection, "ended")


def test_a_message_that_the_broker_does_not_take_is_an_error(app: Celery) -> None:
    """Whatever the transport raises becomes one error that says what was refused."""
    message = Message(2, b"[]", {"headers": {}, "properties": {}, "content_type": "application/json"})

    with pytest.raises(NotSentError, match="its message was not sent: KeyError"):
        send(app, message)
