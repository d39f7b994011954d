"""The containers runtime: servers and workers in containers, on a network of the run's own.

Postgres comes through testcontainers; the broker through pytest-celery's classes. The network's gateway is this
machine, so a proxy of the harness that listens there is reached from containers and from here alike, and so are the
containers' own addresses: one URL serves everybody. Servers keep their addresses when they are started again, and
workers when they are taken off the network for a while: nobody else is given one meanwhile.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import cycle
from pathlib import Path
from typing import Any

from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool
from pytest_celery import (
    CeleryBrokerCluster,
    RabbitMQContainer,
    RabbitMQTestBroker,
    RedisContainer,
    RedisTestBroker,
)
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.config import testcontainers_config

from harness import _rabbitmq
from harness._container import ContainerProcess, endpoint
from harness._container_faults import SMALL_DISK, SMALL_DISK_MB, own_clock
from harness._engine import labels, open_engine, remove_labelled
from harness._errors import SetupBroken
from harness._images import require_images
from harness._runtime import Conditions
from harness._servers import (
    POSTGRES_SETTINGS,
    REDIS_SETTINGS,
    STOP_S,
    Servers,
    await_answer,
    postgres_answers,
    redis_answers,
)
from harness._spaces import OwnSpaces

NAME_LABEL = "celery-conformance.name"
_PRODUCTS = {
    "postgres": (5432, "postgres@", signal.SIGINT),
    "redis": (6379, "", signal.SIGTERM),
    "rabbitmq": (5672, "guest:guest@", signal.SIGTERM),
}
"""By product: the port, the login of a server of the run's own, and the signal that asks for a clean shutdown."""
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class ServerInContainer:
    """A server at a fixed address; `answers` looks whether it does, `goodbye` asks it to stop cleanly."""

    host: str
    port: int
    login: str
    process: ContainerProcess
    answers: Callable[[ServerInContainer], bool]
    goodbye: signal.Signals

    @property
    def name(self) -> str:
        """That of its container."""
        return self.process.name

    def start(self) -> None:
        """Start it at its address and with its data, and wait until it answers. Raises SetupBroken."""
        self.process.start()
        self.await_answer()

    def await_answer(self) -> None:
        """Wait until it answers. Raises SetupBroken."""
        await_answer(self, lambda: self.answers(self))

    def stop(self) -> None:
        """A clean shutdown."""
        self.process.send(signal.SIGCONT, group=True)
        self.process.send(self.goodbye)
        self.process.wait(STOP_S)

    def forget(self) -> None:
        """Lose its data: the next start makes another container."""
        self.process.discard()

    @property
    def running(self) -> bool:
        """Whether its first process exists."""
        return self.process.running

    def destroy(self) -> None:
        """Kill it; its container is removed with the run."""
        self.process.destroy()


def _postgres_is_ready(server: ServerInContainer) -> bool:
    return postgres_answers(server) is not None


def _redis_is_ready(server: ServerInContainer) -> bool:
    if redis_answers(server) is None:
        return False
    return bool(CeleryBrokerCluster(RedisTestBroker(RedisContainer(server.process.container))).ready())


def _rabbitmq_is_ready(server: ServerInContainer) -> bool:
    if not _rabbitmq.answers(server):
        return False
    return bool(CeleryBrokerCluster(RabbitMQTestBroker(RabbitMQContainer(server.process.container))).ready())


class ContainersRuntime:
    """A network of this process of the run, with its servers and workers; labels tell whose they are."""

    listen_host = "0.0.0.0"  # noqa: S104 - all of a container's own network, which is the run's
    spaces = OwnSpaces()

    def __init__(self, scratch: Path, logs: Path, *, with_rabbitmq: bool = False) -> None:
        testcontainers_config.ryuk_disabled = True  # labels are swept here; its own sweeper is an image more to pull
        self.client = open_engine()
        self.images = require_images(self.client, with_rabbitmq=with_rabbitmq)
        self._with_rabbitmq = with_rabbitmq
        self._scratch = scratch
        self._logs = logs
        self._network = self._make_network()
        pool = ip_network(self._network.attrs["IPAM"]["Config"][0]["Subnet"])
        self.proxy_host: str = self._network.attrs["IPAM"]["Config"][0]["Gateway"]
        share = pool.num_addresses // 4  # the engine gives away addresses of its own choice from the bottom
        self._server_addresses = (str(pool[number]) for number in range(-2, -share, -1))
        self._worker_addresses = (str(pool[number]) for number in cycle(range(2 * share, 3 * share)))

    def start_servers(self, tag: str) -> Servers:
        """Fresh ones. Raises SetupBroken."""
        self._logs.mkdir(parents=True, exist_ok=True)
        tag = f"{self._scratch.name}-{tag}"
        postgres = self._server(f"postgres-{tag}", "postgres", self._create_postgres, _postgres_is_ready)
        redis = self._server(f"redis-{tag}", "redis", self._create_redis, _redis_is_ready)
        rabbitmq = None
        if self._with_rabbitmq:
            rabbitmq = self._server(f"rabbitmq-{tag}", "rabbitmq", self._create_rabbitmq, _rabbitmq_is_ready)
            rabbitmq.process.start()  # it takes longest, and the others start meanwhile
        for server in (redis, postgres):
            server.start()
        if rabbitmq is not None:
            rabbitmq.await_answer()
        return Servers(postgres, redis, rabbitmq)

    def worker(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        conditions: Conditions,
    ) -> ContainerProcess:
        """A worker that has yet to be started; the project and the harness are mounted where they lie here."""
        log = directory / f"{name}.log"
        command = ["sh", "-c", 'exec "$@" >> "$0" 2>&1', str(log), "python", *argv[1:]]

        def create() -> Container:
            mounts = {str(path): {"bind": str(path), "mode": "ro"} for path in (Path.cwd(), _HERE)}
            mounts[str(directory)] = {"bind": str(directory), "mode": "rw"}
            clock = own_clock(log) if conditions.own_clock else {}
            return self.client.containers.create(
                self.images["worker"],
                command,
                environment={**environment, **clock, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},  # noqa: S108
                user=f"{os.getuid()}:{os.getgid()}",
                volumes=mounts,
                working_dir=str(Path.cwd()),
                **_limited(conditions.memory_mb),
                **self.placed(f"{name}-{directory.name}", next(self._worker_addresses)),
            )

        return ContainerProcess(name, log, create, disposable=True)

    def placed(self, name: str, address: str | None = None) -> dict[str, Any]:
        """How a container of this run is made: labelled, named, on the run's network."""
        return {
            "labels": {**labels(self._scratch), NAME_LABEL: name},
            **endpoint(self.client, self._network.name, address),
        }

    def stop(self) -> None:
        """Remove everything that carries the labels of this process of the run."""
        remove_labelled(self.client, self._scratch)
        self.client.close()

    def _server(
        self,
        name: str,
        product: str,
        create: Callable[[str, str], Container],
        answers: Callable[[ServerInContainer], bool],
    ) -> ServerInContainer:
        host = next(self._server_addresses)
        log = self._logs / f"{name}.log"
        process = ContainerProcess(name, log, lambda: create(name, host), disposable=False)
        port, login, goodbye = _PRODUCTS[product]
        return ServerInContainer(host, port, login, process, answers, goodbye)

    def _create_postgres(self, name: str, host: str) -> Container:
        made = PostgresContainer(self.images["postgres"], username="postgres", dbname="postgres", driver=None)
        made.with_command(
            [part for setting, value in POSTGRES_SETTINGS.items() for part in ("-c", f"{setting}={value}")]
        )
        made.with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        made.with_tmpfs_mount(SMALL_DISK, f"size={SMALL_DISK_MB}m,mode=1777")
        made.ports.clear()  # nothing is published: it is reached at its own address
        made.with_kwargs(**self.placed(name, host))
        return made.start().get_wrapped_container()

    def _create_redis(self, name: str, host: str) -> Container:
        settings = [part for setting, value in REDIS_SETTINGS.items() for part in (f"--{setting}", value)]
        return self.client.containers.create(
            self.images["redis"], RedisContainer.command(*settings), **self.placed(name, host)
        )

    def _create_rabbitmq(self, name: str, host: str) -> Container:
        return self.client.containers.create(self.images["rabbitmq"], **self.placed(name, host))

    def _make_network(self, attempts: int = 5) -> Network:
        """Fixed addresses need a network of a given subnet: the one that the engine would have chosen."""
        # Of two networks of one name neither can be used, and a run that was killed may have left one.
        name = f"celery-conformance-{self._scratch.name}-{uuid.uuid4().hex[:8]}"
        marks = labels(self._scratch)
        probe = self.client.networks.create(f"{name}-probe", labels=marks)
        probe.reload()
        chosen = probe.attrs["IPAM"]["Config"][0]
        probe.remove()
        pool = IPAMPool(subnet=chosen["Subnet"], gateway=chosen["Gateway"])
        try:
            made = self.client.networks.create(name, labels=marks, ipam=IPAMConfig(pool_configs=[pool]))
        except APIError as error:
            if attempts > 1:  # another process of the run took the subnet in between
                return self._make_network(attempts - 1)
            raise SetupBroken(f"no network for containers could be made: {error.explanation}") from error
        made.reload()
        return made


def _limited(memory_mb: int | None) -> dict[str, str]:
    """No swap beyond the limit: what does not fit is killed."""
    return {} if memory_mb is None else {"mem_limit": f"{memory_mb}m", "memswap_limit": f"{memory_mb}m"}
