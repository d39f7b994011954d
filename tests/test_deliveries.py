"""Lost deliveries, on a real Redis: a message is missing only where it is nowhere, and everybody could be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from sqlalchemy import Engine, text

from harness._embedded_servers import free_port
from harness._servers import LOOPBACK, Servers, open_redis
from reference_impl.deliveries import MESSAGES_MAX, look_for_messages
from reference_impl.incarnation import Identity, register
from reference_impl.lifecycle import DeliveryLost, Owner, Published, Started
from reference_impl.models import TaskRecord
from reference_impl.registry import LOST, Registry
from reference_impl.reports import Report
from reference_impl.rollcall import call_the_roll
from reference_impl.settings import Settings, load_settings
from reference_impl.spool import Spool

REDIS_DATABASE = 9
LONG_S = 1000.0

Wait = Callable[..., str]


@pytest.fixture
def settings(registry_database: str, tmp_path: Path) -> Settings:
    """Settings by which a task waits for long after a minute."""
    return load_settings(
        database_url=registry_database,
        heartbeat_interval_s=10,
        lease_s=60,
        minimum_age_s=60,
        ping_timeout_s=0.4,
        spool_directory=tmp_path / "spool",
    )


@pytest.fixture(params=["", "ours:"], ids=["without a prefix", "with a prefix"])
def app(servers: Servers, request: pytest.FixtureRequest) -> Iterator[Celery]:
    """An application with an empty key space in Redis; kombu may put a prefix before its keys."""
    with open_redis(servers.redis, REDIS_DATABASE) as client:
        client.flushdb()
    made = Celery("lost", broker=f"redis://{LOOPBACK}:{servers.redis.port}/{REDIS_DATABASE}", set_as_current=False)
    made.conf.broker_transport_options = {"global_keyprefix": request.param} if request.param else {}
    yield made
    made.close()


@pytest.fixture
def waits(engine: Engine) -> Wait:
    """A record of a task that waits in the queue `mail`."""

    def make(task_id: str | None = None, *, for_s: float = LONG_S, queue: str | None = "mail", **said: Any) -> str:
        task_id = task_id or str(uuid4())
        Registry(engine).apply(Report(task_id, Published(), who="client", why="published", queue=queue, **said))
        with engine.begin() as connection:
            older = "UPDATE celery_task_registry SET queued_at = queued_at - make_interval(secs => :by)"
            connection.execute(text(f"{older} WHERE task_id = :task"), {"by": for_s, "task": task_id})
        return task_id

    return make


def missing(engine: Engine, app: Celery, settings: Settings) -> set[str]:
    """The ids that one look misses."""
    with engine.connect() as connection:
        sought = look_for_messages(connection, app, settings)
    if not sought.tasks:
        return set()
    call = call_the_roll(app, settings.ping_timeout_s, sought.workers.keys(), sought=sought.tasks)
    return {row.task_id for row in sought.missing(call)}


def send(app: Celery, task_id: str, queue: str = "mail", **options: Any) -> None:
    """The message that belongs to a record."""
    app.send_task("mail.send", task_id=task_id, queue=queue, **options)


def test_a_message_that_is_nowhere_is_missing(app: Celery, engine: Engine, settings: Settings, waits: Wait) -> None:
    """Only what has waited for long counts, whatever the queue."""
    old, elsewhere = waits(), waits(queue="other")
    waits(for_s=1.0)

    assert missing(engine, app, settings) == {old, elsewhere}


@pytest.mark.parametrize(("priority", "name"), [(0, None), (9, None), (0, 'quoted "\\" übung')])
def test_a_message_in_its_queue_is_not_missing(
    app: Celery, engine: Engine, settings: Settings, waits: Wait, priority: int, name: str | None
) -> None:
    """It is found among others, whatever its priority, and whatever characters its id has."""
    here, gone = waits(name), waits()
    for _ in range(10):
        send(app, str(uuid4()))
    send(app, here, priority=priority)

    assert missing(engine, app, settings) == {gone}


def test_a_message_that_is_delivered_is_not_missing(
    app: Celery, engine: Engine, settings: Settings, waits: Wait
) -> None:
    """A consumer has it, and has not acknowledged it, whether that consumer lives or not."""
    here, gone = waits(), waits()
    send(app, here)
    with app.connection() as connection:
        queue = app.amqp.queues["mail"].bind(connection.channel())
        assert queue.get(no_ack=False) is not None

        assert missing(engine, app, settings) == {gone}


def test_nothing_is_looked_for_in_a_long_queue(app: Celery, engine: Engine, settings: Settings, waits: Wait) -> None:
    """Beyond `MESSAGES_MAX` messages nobody knows; other queues are looked into all the same."""
    waits()
    elsewhere = waits(queue="other")
    with app.connection() as connection:
        channel = connection.channel()
        channel.client.lpush("mail", *["{}"] * (MESSAGES_MAX + 1))  # kombu puts the prefix before it

    assert missing(engine, app, settings) == {elsewhere}


def test_a_worker_that_does_not_answer_may_have_it(
    app: Celery, engine: Engine, settings: Settings, waits: Wait
) -> None:
    """While somebody holds a lease and is silent, nothing is known."""
    task = waits()
    register(engine, Identity(uuid4(), "silent@host", 1), lease_s=60)

    with_a_silent_worker = missing(engine, app, settings)
    with engine.begin() as connection:
        connection.execute(text("UPDATE celery_worker_incarnation SET renewed_at = '-infinity'"))

    assert with_a_silent_worker == set()
    assert missing(engine, app, settings) == {task}


def test_while_reports_are_kept_nothing_is_missing(
    app: Celery, engine: Engine, settings: Settings, waits: Wait
) -> None:
    """What was done with a message may be on disk, and not in the registry yet."""
    waits()
    spool = Spool(settings)
    number = spool.keep(Report("another", Published(), who="client", why="published"))

    meanwhile = missing(engine, app, settings)
    spool.done(number)

    assert meanwhile == set()
    assert len(missing(engine, app, settings)) == 1


def test_other_brokers_are_not_looked_into(engine: Engine, settings: Settings, waits: Wait) -> None:
    """Of a transport that is neither Redis nor AMQP nobody knows what its counts leave out."""
    waits()
    app = Celery("elsewhere", broker="memory://", set_as_current=False)

    assert missing(engine, app, settings) == set()


def test_without_a_broker_nothing_is_missing(engine: Engine, settings: Settings, waits: Wait) -> None:
    """A broker that cannot be asked has lost nothing that anybody knows of."""
    waits()
    app = Celery("deaf", broker=f"redis://{LOOPBACK}:{free_port()}/0", set_as_current=False)

    assert missing(engine, app, settings) == set()


def test_what_waits_for_something_else_is_not_looked_for(
    app: Celery, engine: Engine, settings: Settings, waits: Wait
) -> None:
    """For its time, for a queue that nobody knows, or because it has started."""
    waits(queue=None)
    started = waits()
    Registry(engine).apply(Report(started, Started(Owner(uuid4(), uuid4())), who="w1", why="started"))
    later = waits()
    with engine.begin() as connection:
        eta = "UPDATE celery_task_registry SET eta = clock_timestamp() + interval '1 hour' WHERE task_id = :task"
        connection.execute(text(eta), {"task": later})

    assert missing(engine, app, settings) == set()


def test_what_was_lost_may_be_published_again(engine: Engine, waits: Wait) -> None:
    """The record waits anew, and nothing of its end is left."""
    task = waits()
    registry = Registry(engine)
    registry.apply(Report(task, DeliveryLost(), who="sweep", why="nowhere", reason=LOST, error_message="lost"))

    registry.apply(Report(task, Published(), who="client", why="published", queue="other"))

    with engine.connect() as connection:
        record = connection.execute(TaskRecord.__table__.select()).mappings().one()
    assert (record["status"], record["queue"], record["reason"]) == ("PENDING", "other", None)
    assert (record["completed_at"], record["error_message"]) == (None, None)
