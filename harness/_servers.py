"""What clusters and faults need of a Postgres and of a Redis-compatible server, wherever they run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness._errors import NeverCame, SetupBroken
from harness._processes import Process, await_until

LOOPBACK = "127.0.0.1"
START_S = 30.0
STOP_S = 20.0
REDIS_DATABASES = 4096
"""So many scenarios of one run can share a server, with a key space each."""
POSTGRES_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""Those of every server, wherever it runs: the data is scratch data."""
REDIS_SETTINGS = {"databases": str(REDIS_DATABASES), "save": "", "appendonly": "yes", "appendfsync": "everysec"}
"""Those of every server: what was written survives a kill up to the last second."""


class Address(Protocol):
    """Where something listens."""

    @property
    def host(self) -> str:
        """Its address."""

    @property
    def port(self) -> int:
        """Its port."""


class Server(Address, Protocol):
    """What faults need of a server."""

    @property
    def name(self) -> str:
        """How logs call it."""

    @property
    def process(self) -> Process:
        """Its process."""

    def start(self) -> None:
        """Start it at its address and with its data, and wait until it answers. Raises SetupBroken."""

    def stop(self) -> None:
        """Stop it cleanly; its address and data stay."""

    def forget(self) -> None:
        """Lose its data; it must have been stopped."""


@dataclass(frozen=True)
class Servers:
    """The pair that a cluster works against; data survives a clean stop, and in Redis a kill up to the last second."""

    postgres: Server
    redis: Server

    def destroy(self) -> None:
        """Kill both."""
        self.postgres.process.destroy()
        self.redis.process.destroy()


def postgres_url(server: Address, database: str = "postgres") -> str:
    """The URL of a database, of a server or through a proxy of the harness."""
    return f"postgresql://postgres@{server.host}:{server.port}/{database}"


def redis_url(server: Address, database: int = 0) -> str:
    """The URL of a database, of a server or through a proxy of the harness."""
    return f"redis://{server.host}:{server.port}/{database}"


def open_redis(server: Address, database: int = 0) -> redis.Redis:
    """A client of one database; text in, text out."""
    return redis.Redis(host=server.host, port=server.port, db=database, decode_responses=True, socket_timeout=10)


def create_database(server: Address, name: str, template: str = "template1") -> str:
    """A database copied from `template`; returns its URL."""
    with psycopg.connect(postgres_url(server), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY'.encode())
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
    impatient = redis.Redis(host=server.host, port=server.port, socket_timeout=1, retry=Retry(NoBackoff(), 0))
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
