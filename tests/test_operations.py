"""What an operator asks for, on real servers: a lost task runs again, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from celery import Celery
from sqlalchemy import Engine, text

from harness._servers import LOOPBACK, Servers, open_redis
from reference_impl.incarnation import Identity, register
from reference_impl.lifecycle import Event, Owner, Published, Started, WorkerLost
from reference_impl.messages import Message, NotKeptError, NotSentError, forget_ended, keep
from reference_impl.models import TaskRecord
from reference_impl.operations import NotRequeuedError, requeue
from reference_impl.registry import Registry
from reference_impl.reports import Report

REDIS_DATABASE = 10
QUEUE = "requeued"


@pytest.fixture
def app(servers: Servers) -> Iterator[Celery]:
    """An application with an empty key space in Redis."""
    with open_redis(servers.redis, REDIS_DATABASE) as client:
        client.flushdb()
    made = Celery("lost", broker=f"redis://{LOOPBACK}:{servers.redis.port}/{REDIS_DATABASE}", set_as_current=False)
    yield made
    made.close()


def tell(engine: Engine, event: Event, reason: str | None = None) -> int:
    """One report about the task `t`; gives the losses that it counts."""
    return Registry(engine).apply(Report("t", event, who="w1", why="as told", reason=reason)).losses


def die(engine: Engine, reason: str = "worker-lost") -> None:
    """An attempt that is lost with its worker."""
    owner = Owner(uuid4(), uuid4())
    tell(engine, Started(owner))
    tell(engine, WorkerLost(owner.attempt_id, redeliver=False), reason)


def keep_message(app: Celery, engine: Engine) -> None:
    """The message as a worker received it."""
    app.send_task("mail.send", ["x"], task_id="t", queue=QUEUE)
    with app.connection() as connection:
        received = app.amqp.queues[QUEUE].bind(connection.channel()).get(no_ack=True)
    with engine.begin() as connection:
        keep(connection, "t", Message.received(received, limit_bytes=10_000))


def status(engine: Engine) -> tuple[str, str | None]:
    """How the record stands."""
    with engine.connect() as connection:
        row = connection.execute(TaskRecord.__table__.select()).one()
        return row.status, row.detail


def test_a_lost_task_is_sent_again(app: Celery, engine: Engine) -> None:
    """Its message was kept beyond its end; its record waits, and its lost attempts do not count any more."""
    tell(engine, Published())
    keep_message(app, engine)
    die(engine)
    with engine.begin() as connection:
        forget_ended(connection)

    requeue(engine, app, "t", who="cli")

    with app.connection() as connection:
        again = app.amqp.queues[QUEUE].bind(connection.channel()).get(no_ack=True)
    assert again.headers["id"] == "t"
    assert status(engine) == ("PENDING", "requeued")
    assert tell(engine, Started(Owner(uuid4(), uuid4()))) == 0


def test_what_a_dead_worker_seems_to_execute_may_be_sent_again(app: Celery, engine: Engine) -> None:
    """A task that is only reported stays STARTED; while its worker holds its lease it is not sent twice."""
    identity = Identity(uuid4(), "w1@host", 1)
    register(engine, identity, lease_s=60.0)
    tell(engine, Published())
    keep_message(app, engine)
    tell(engine, Started(Owner(identity.incarnation_id, uuid4())))

    with pytest.raises(NotRequeuedError, match="holds its lease, and executes it"):
        requeue(engine, app, "t", who="cli")
    with engine.begin() as connection:
        connection.execute(text("UPDATE celery_worker_incarnation SET renewed_at = '-infinity'"))
    requeue(engine, app, "t", who="cli")

    assert status(engine) == ("PENDING", "requeued")


@pytest.mark.parametrize("reason", ["revoked", "expired"])
def test_what_was_revoked_on_purpose_is_not_sent_again(app: Celery, engine: Engine, reason: str) -> None:
    """Only losses are made good."""
    tell(engine, Published())
    die(engine, reason)

    with pytest.raises(NotRequeuedError, match=rf"it ended as REVOKED \({reason}\), and not by a loss"):
        requeue(engine, app, "t", who="cli")


def test_what_waits_is_not_sent_again(app: Celery, engine: Engine) -> None:
    """It would run twice."""
    tell(engine, Published())

    with pytest.raises(NotRequeuedError, match="it is PENDING: its message is on its way"):
        requeue(engine, app, "t", who="cli")


def test_without_its_message_it_cannot_be_sent(app: Celery, engine: Engine) -> None:
    """What is stored of its arguments is not the message."""
    tell(engine, Published())
    die(engine)

    with pytest.raises(NotKeptError, match="no message of it was kept"):
        requeue(engine, app, "t", who="cli")


def test_what_the_broker_does_not_take_changes_nothing(app: Celery, engine: Engine) -> None:
    """The record stands as before."""
    tell(engine, Published())
    die(engine)
    with engine.begin() as connection:
        keep(connection, "t", Message(2, b"[]", {"headers": {}, "properties": {}}))

    with pytest.raises(NotSentError):
        requeue(engine, app, "t", who="cli")

    assert status(engine) == ("REVOKED", "worker-lost")
