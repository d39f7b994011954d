"""What clusters and faults need of a Postgres, of a Redis-compatible server and of a RabbitMQ, wherever they run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import psycopg
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness._errors import NeverCame, SetupBroken
from harness._processes import Process, await_until

LOOPBACK = "127.0.0.1"
START_S = 30.0
STOP_S = 20.0
REDIS_DATABASES = 4096
"""So many scenarios of one run can share a server of its own, with a key space each."""
POSTGRES_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""Those of every server that a run starts: the data is scratch data."""
REDIS_SETTINGS = {"databases": str(REDIS_DATABASES), "save": "", "appendonly": "yes", "appendfsync": "everysec"}
"""Those of every server that a run starts: what was written survives a kill up to the last second."""


class Address(Protocol):
    """Where something listens, and as whom it is asked."""

    @property
    def host(self) -> str:
        """Its address."""

    @property
    def port(self) -> int:
        """Its port."""

    @property
    def login(self) -> str:
        """What stands before the host in a URL, with its @, as in `user:secret@`; empty for nobody."""


class Server(Address, Protocol):
    """What faults need of a server."""

    @property
    def name(self) -> str:
        """How logs call it."""

    @property
    def process(self) -> Process:
        """Its process. Raises SetupBroken where that is not the run's own."""

    @property
    def running(self) -> bool:
        """Whether it can be asked."""

    def start(self) -> None:
        """Start it at its address and with its data, and wait until it answers. Raises SetupBroken."""

    def stop(self) -> None:
        """Stop it cleanly; its address and data stay."""

    def forget(self) -> None:
        """Lose its data; it must have been stopped."""

    def destroy(self) -> None:
        """Kill it; nothing happens to one that is not the run's own."""


@dataclass(frozen=True)
class Servers:
    """What a cluster works against; data survives a clean stop, and in Redis a kill up to the last second.

    Redis is the result backend, and the broker unless there is a RabbitMQ.
    """

    postgres: Server
    redis: Server
    rabbitmq: Server | None = None

    @property
    def broker(self) -> Server:
        """The one that carries messages."""
        return self.rabbitmq or self.redis

    @property
    def running(self) -> bool:
        """Whether all of them can be asked."""
        return all(server.running for server in (self.postgres, self.redis, self.broker))

    def destroy(self) -> None:
        """Kill all of them."""
        for server in (self.postgres, self.redis, self.rabbitmq):
            if server is not None:
                server.destroy()


def postgres_url(server: Address, database: str = "postgres") -> str:
    """The URL of a database, of a server or through a proxy of the harness."""
    return f"postgresql://{server.login}{server.host}:{server.port}/{database}"


def redis_url(server: Address, database: int = 0) -> str:
    """The URL of a database, of a server or through a proxy of the harness."""
    return f"redis://{server.login}{server.host}:{server.port}/{database}"


def rabbitmq_url(server: Address, vhost: str) -> str:
    """The URL of a virtual host, of a server or through a proxy of the harness."""
    return f"amqp://{server.login}{server.host}:{server.port}/{vhost}"


def open_redis(server: Address, database: int = 0) -> redis.Redis:
    """A client of one database; text in, text out."""
    return redis.Redis.from_url(redis_url(server, database), decode_responses=True, socket_timeout=10)


def create_database(server: Address, name: str, template: str = "template1", comment: str | None = None) -> str:
    """A database copied from `template`; returns its URL."""
    with psycopg.connect(postgres_url(server), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY'.encode())
        if comment is not None:
            statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(comment)))
    return postgres_url(server, name)


def drop_database(server: Address, name: str) -> None:
    """Drop it, whoever is connected."""
    with psycopg.connect(postgres_url(server), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def postgres_answers(server: Address) -> str | None:
    """The server's data directory; None while it does not answer."""
    try:
        with psycopg.connect(postgres_url(server), connect_timeout=2) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
    except psycopg.OperationalError:
        return None
    return row[0] if row else None


def redis_answers(server: Address) -> int | None:
    """The server's own process id; None while it does not answer."""
    impatient = redis.Redis.from_url(redis_url(server), socket_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        with closing(impatient) as client:
            said = client.info("server")
    except redis.RedisError:
        return None
    assert isinstance(said, dict)
    return int(said["process_id"])


def await_answer(server: Server, answers: Callable[[], bool]) -> None:
    """Wait until a server answers. Raises SetupBroken with its last log lines."""

    def gone() -> str | None:
        return f"it ended with exit code {server.process.exit_code}" if not server.process.running else None

    try:
        await_until(f"an answer from {server.name}", lambda: answers() or None, START_S, gone)
    except NeverCame as error:
        raise SetupBroken(
            f"{server.name} did not start on port {server.port}: {error}\nlast lines of {server.process.log}:\n"
            f"{server.process.tail()}"
        ) from error
