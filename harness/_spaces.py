"""What one scenario has of servers that others use too: names, a Redis database, a virtual host.

On servers of the run's own it takes whatever it likes and empties it. On servers of somebody else it is a guest: it
takes a Redis database that it found empty, marks it, and deletes nothing but the keys that Celery makes.
"""

from __future__ import annotations

import socket
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import psycopg
import redis

from harness import _rabbitmq
from harness._errors import SetupBroken
from harness._servers import (
    REDIS_DATABASES,
    Address,
    Servers,
    drop_database,
    open_redis,
    postgres_url,
)

MARK = "celery-conformance.owner"
PREFIX = "conformance_"
_OF_CELERY = ("unacked*", "celery-task-meta-*", "celery-taskset-meta-*", "_kombu.*", "*.reply.celery.pidbox")
_SEPARATOR = "\x06\x16"


class Spaces(Protocol):
    """How a runtime shares its servers out."""

    @property
    def prefix(self) -> str:
        """What names of databases and virtual hosts begin with."""

    @property
    def comment(self) -> str | None:
        """What is written to each of them, to be known again."""

    def take_redis(self, server: Address, number: int) -> int:
        """A database for the run's `number`-th scenario. Raises SetupBroken when there is none."""

    def leave_redis(self, server: Address, database: int) -> None:
        """Empty it again."""


class OwnSpaces:
    """On servers that end with the run."""

    prefix = ""
    comment = None

    def take_redis(self, server: Address, number: int) -> int:  # noqa: ARG002 - all servers are alike
        """One after the other."""
        return number % REDIS_DATABASES

    def leave_redis(self, server: Address, database: int) -> None:
        """All that is in it."""
        with closing(open_redis(server, database)) as client:
            client.flushdb()


class GuestSpaces:
    """On servers that were there before; `scratch` tells whose everything is, as long as it exists."""

    def __init__(self, scratch: Path) -> None:
        self.prefix = f"{PREFIX}{sha256(str(scratch).encode()).hexdigest()[:8]}_"  # Postgres allows 63 bytes in all
        self.comment = f"celery-conformance {socket.gethostname()} {scratch}"

    def take_redis(self, server: Address, number: int) -> int:  # noqa: ARG002 - any that is empty
        """The first that is empty, marked as taken."""
        for database in range(redis_databases(server)):
            with closing(open_redis(server, database)) as client:
                if client.dbsize() == 0 and client.set(MARK, self.comment, nx=True):
                    if client.dbsize() == 1:
                        return database
                    client.delete(MARK)
        raise SetupBroken(
            f"every database of the Redis at {server.host}:{server.port} has keys in it, and none of them is touched: "
            "empty one, or name another server in CELERY_CONFORMANCE_REDIS_URL"
        )

    def leave_redis(self, server: Address, database: int) -> None:
        """What Celery made there; whatever else appeared meanwhile stays."""
        with closing(open_redis(server, database)) as client:
            _delete_what_celery_made(client)

    def leave_postgres(self, server: Address) -> None:
        """Drop every database that carries this run's comment."""
        for name, comment in _databases(server):
            if comment == self.comment:
                drop_database(server, name)


def redis_databases(server: Address) -> int:
    """How many databases a server has; 1 where it does not tell."""
    with closing(open_redis(server)) as client:
        try:
            told = client.config_get("databases")
        except redis.ResponseError:  # managed services refuse it
            return 1
    assert isinstance(told, dict)
    return int(str(told.get("databases", 1)))


def take_vhost(servers: Servers, spaces: Spaces, name: str) -> str:
    """A virtual host of the RabbitMQ, where there is one; its name, or an empty one."""
    if servers.rabbitmq is None:
        return ""
    full = f"{spaces.prefix}{name}"
    _rabbitmq.create_vhost(servers.rabbitmq, full, spaces.comment or "")
    return full


def leave_vhost(servers: Servers, name: str) -> None:
    """Delete it, where there is one."""
    if servers.rabbitmq is not None:
        _rabbitmq.delete_vhost(servers.rabbitmq, name)


def _delete_what_celery_made(client: redis.Redis) -> None:
    queues = {
        str(member).rpartition(_SEPARATOR)[2]
        for key in client.scan_iter("_kombu.binding.*", count=1000)
        for member in client.smembers(key)
    }
    doomed = [key for pattern in _OF_CELERY for key in client.scan_iter(pattern, count=1000)]
    doomed += [key for key in client.scan_iter(count=1000) if str(key).partition(_SEPARATOR)[0] in queues]
    client.delete(MARK, *doomed)


# -- what dead runs left on servers of somebody else -----------------------------------------------------------------


def remove_dead_guests(servers: Servers) -> None:
    """Remove databases, key spaces and virtual hosts of runs of this host whose scratch directory is gone."""
    for name, comment in _databases(servers.postgres):
        if _is_dead(comment):
            drop_database(servers.postgres, name)
    for database in range(redis_databases(servers.redis)):
        with closing(open_redis(servers.redis, database)) as client:
            if _is_dead(str(client.get(MARK) or "")):
                _delete_what_celery_made(client)
    if servers.rabbitmq is not None:
        for name, description in _rabbitmq.vhosts(servers.rabbitmq).items():
            if name.startswith(PREFIX) and _is_dead(description):
                _rabbitmq.delete_vhost(servers.rabbitmq, name)


def _databases(server: Address) -> list[tuple[str, str]]:
    """Every database that is named like one of a run, with its comment."""
    with psycopg.connect(postgres_url(server)) as connection:
        rows = connection.execute(
            "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database WHERE starts_with(datname, %s)",
            [PREFIX],
        ).fetchall()
    return [(name, comment or "") for name, comment in rows]


def _is_dead(mark: str) -> bool:
    words = mark.split(" ", 2)
    return words[:2] == ["celery-conformance", socket.gethostname()] and len(words) == 3 and not Path(words[2]).exists()
