"""The external runtime: servers that already run, named by URLs; workers and clients are processes of this machine.

The run is a guest there. Whatever it makes carries its mark; it neither stops the servers nor touches what it did not
make. URLs come from the environment alone: a command line, with its passwords, is readable by everybody.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import psycopg
import redis

from harness import _rabbitmq
from harness._binaries import POSTGRES_OLDEST
from harness._errors import SetupBroken, UsageError
from harness._local import LocalPrograms
from harness._servers import LOOPBACK, Servers, open_redis, postgres_url
from harness._spaces import GuestSpaces

_VARIABLES = {
    "postgres": ("CELERY_CONFORMANCE_POSTGRES_URL", {"postgresql", "postgres"}, 5432),
    "redis": ("CELERY_CONFORMANCE_REDIS_URL", {"redis", "valkey"}, 6379),
    "rabbitmq": ("CELERY_CONFORMANCE_RABBITMQ_URL", {"amqp", "pyamqp"}, 5672),
}


@dataclass(frozen=True)
class ExternalServer:
    """A server of somebody else: it can be asked, and nothing more."""

    name: str
    host: str
    port: int
    login: str

    @property
    def process(self) -> NoReturn:
        """Not the run's own."""
        raise SetupBroken(f"{self.name} is not this run's own: mark the scenario with pytest.mark.own_servers")

    @property
    def running(self) -> bool:
        """Taken for granted."""
        return True

    def start(self) -> None:
        """Not the run's own."""
        _ = self.process

    def stop(self) -> None:
        """Not the run's own."""
        _ = self.process

    def forget(self) -> None:
        """Not the run's own."""
        _ = self.process

    def destroy(self) -> None:
        """It stays as it is."""


def named_servers(*, with_rabbitmq: bool) -> Servers:
    """The servers that the environment names. Raises UsageError; no message shows a password."""
    return Servers(_server("postgres"), _server("redis"), _server("rabbitmq") if with_rabbitmq else None)


def _server(product: str) -> ExternalServer:
    variable, schemes, default_port = _VARIABLES[product]
    given = os.environ.get(variable)
    if not given:
        raise UsageError(f"the runtime `external` needs the URL of a server: set {variable} in the environment")
    try:
        parts = urlsplit(given)
        port = parts.port or default_port
    except ValueError as error:
        raise UsageError(f"{variable} is no URL: {error}") from error
    if parts.scheme not in schemes or not parts.hostname:
        expected = f"{min(schemes)}://user:password@host:{default_port}"
        raise UsageError(
            f"{variable}: expected {expected}, got the scheme {parts.scheme!r} and the host {parts.hostname!r}; "
            "TLS is not supported, as proxies of the harness stand in between"
        )
    login, at, _ = parts.netloc.rpartition("@")
    return ExternalServer(product, parts.hostname, port, f"{login}{at}")


def check_servers(servers: Servers) -> dict[str, str]:
    """Their versions, by product. Raises SetupBroken when one does not answer, or does not let a guest work."""
    where = servers.postgres
    try:
        with psycopg.connect(postgres_url(where), connect_timeout=5) as connection:
            (may,) = connection.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            ).fetchone() or (False,)
            postgres, number = connection.info.parameter_status("server_version"), connection.info.server_version
    except psycopg.OperationalError as error:
        said = str(error).strip().splitlines()[-1]
        raise SetupBroken(f"the Postgres at {where.host}:{where.port} does not let us in: {said}") from error
    (oldest,) = POSTGRES_OLDEST
    if not may or number // 10_000 < oldest:
        raise SetupBroken(
            f"the Postgres at {where.host}:{where.port} is {postgres}, and its role "
            f"{'may' if may else 'may not'} create databases: {oldest} or newer is needed, and a role with CREATEDB"
        )
    try:
        client = open_redis(servers.redis)
        told = client.info("server")
        client.close()
    except redis.RedisError as error:
        raise SetupBroken(
            f"the Redis at {servers.redis.host}:{servers.redis.port} does not let us in: {error}"
        ) from error
    assert isinstance(told, dict)
    product = "Valkey" if told.get("server_name") == "valkey" else "Redis"
    versions = {"Postgres": str(postgres), product: str(told.get("valkey_version") or told["redis_version"])}
    if servers.rabbitmq is not None:
        versions["RabbitMQ"] = _rabbitmq.version(servers.rabbitmq)
    return versions


class ExternalRuntime:
    """Workers and clients here, servers elsewhere."""

    proxy_host = LOOPBACK
    listen_host = LOOPBACK

    def __init__(self, scratch: Path, programs: LocalPrograms, *, with_rabbitmq: bool) -> None:
        self.spaces = GuestSpaces(scratch)
        self._servers = named_servers(with_rabbitmq=with_rabbitmq)
        self.worker = programs.worker

    def start_servers(self, tag: str) -> Servers:  # noqa: ARG002 - there is one of each
        """Those that are there."""
        return self._servers

    def stop(self) -> None:
        """Drop every database that this process of the run made."""
        self.spaces.leave_postgres(self._servers.postgres)
