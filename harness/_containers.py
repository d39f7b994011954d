"""The containers runtime: servers and workers in containers, on a network of the run's own.

Postgres comes through testcontainers; the broker through pytest-celery's classes. The network's gateway is this
machine, so a proxy of the harness that listens there is reached from containers and from here alike, and so are the
containers' own addresses: one URL serves everybody. Servers keep their addresses when they are started again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool
from pytest_celery import CeleryBrokerCluster, RedisContainer, RedisTestBroker
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.config import testcontainers_config

from harness._container import ContainerProcess, endpoint
from harness._engine import labels, open_engine, remove_labelled
from harness._errors import SetupBroken
from harness._images import require_images
from harness._servers import (
    POSTGRES_SETTINGS,
    REDIS_SETTINGS,
    Servers,
    await_answer,
    postgres_answers,
    redis_answers,
)

STOP_S = 20.0
NAME_LABEL = "celery-conformance.name"
_HERE = Path(__file__).parent


class PostgresInContainer:
    """A Postgres server at a fixed address."""

    port = 5432

    def __init__(self, runtime: ContainersRuntime, name: str, host: str, log: Path) -> None:
        self.name = name
        self.host = host
        self._runtime = runtime
        self.process = ContainerProcess(name, log, self._create, disposable=False)

    def start(self) -> None:
        """Start it at its address and with its data, and wait until it answers. Raises SetupBroken."""
        self.process.start()
        await_answer(self, lambda: postgres_answers(self) is not None)

    def stop(self) -> None:
        """A fast shutdown."""
        self.process.send(signal.SIGCONT, group=True)
        self.process.send(signal.SIGINT)
        self.process.wait(STOP_S)

    def _create(self) -> Container:
        made = PostgresContainer(self._runtime.images["postgres"], username="postgres", dbname="postgres", driver=None)
        made.with_command([part for name, value in POSTGRES_SETTINGS.items() for part in ("-c", f"{name}={value}")])
        made.with_env("POSTGRES_HOST_AUTH_METHOD", "trust")
        made.ports.clear()  # nothing is published: it is reached at its own address
        made.with_kwargs(**self._runtime.placed(self.name, self.host))
        return made.start().get_wrapped_container()


class RedisInContainer:
    """A Redis server at a fixed address; pytest-celery's broker."""

    port = 6379

    def __init__(self, runtime: ContainersRuntime, name: str, host: str, log: Path) -> None:
        self.name = name
        self.host = host
        self._runtime = runtime
        self.process = ContainerProcess(name, log, self._create, disposable=False)

    def start(self) -> None:
        """Start it at its address and with its data, and wait until it answers. Raises SetupBroken."""
        self.process.start()
        await_answer(self, lambda: redis_answers(self) is not None)
        CeleryBrokerCluster(RedisTestBroker(RedisContainer(self.process.container))).ready()

    def stop(self) -> None:
        """A clean shutdown."""
        self.process.send(signal.SIGCONT)
        self.process.send(signal.SIGTERM)
        self.process.wait(STOP_S)

    def _create(self) -> Container:
        settings = [part for name, value in REDIS_SETTINGS.items() for part in (f"--{name}", value)]
        return self._runtime.client.containers.create(
            self._runtime.images["redis"],
            RedisContainer.command(*settings),
            **self._runtime.placed(self.name, self.host),
        )


class ContainersRuntime:
    """A network of this process of the run, with its servers and workers; labels tell whose they are."""

    def __init__(self, scratch: Path, logs: Path) -> None:
        testcontainers_config.ryuk_disabled = True  # labels are swept here; its own sweeper is an image more to pull
        self.client = open_engine()
        self.images = require_images(self.client)
        self._scratch = scratch
        self._logs = logs
        self._network = self._make_network()
        pool = ip_network(self._network.attrs["IPAM"]["Config"][0]["Subnet"])
        self.proxy_host: str = self._network.attrs["IPAM"]["Config"][0]["Gateway"]
        self._addresses = (str(pool[-number]) for number in range(2, pool.num_addresses // 2))

    def start_servers(self, tag: str) -> Servers:
        """A fresh pair. Raises SetupBroken."""
        self._logs.mkdir(parents=True, exist_ok=True)
        names = [f"{kind}-{self._scratch.name}-{tag}" for kind in ("postgres", "redis")]
        postgres = PostgresInContainer(self, names[0], next(self._addresses), self._logs / f"{names[0]}.log")
        redis = RedisInContainer(self, names[1], next(self._addresses), self._logs / f"{names[1]}.log")
        for server in (redis, postgres):
            server.start()
        return Servers(postgres, redis)

    def worker(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], directory: Path
    ) -> ContainerProcess:
        """A worker that has yet to be started; the project and the harness are mounted where they lie here."""
        log = directory / f"{name}.log"
        command = ["sh", "-c", 'exec "$@" >> "$0" 2>&1', str(log), "python", *argv[1:]]

        def create() -> Container:
            mounts = {str(path): {"bind": str(path), "mode": "ro"} for path in (Path.cwd(), _HERE)}
            mounts[str(directory)] = {"bind": str(directory), "mode": "rw"}
            return self.client.containers.create(
                self.images["worker"],
                command,
                environment={**environment, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},  # noqa: S108
                user=f"{os.getuid()}:{os.getgid()}",
                volumes=mounts,
                working_dir=str(Path.cwd()),
                **self.placed(f"{name}-{directory.name}"),
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

    def _make_network(self, attempts: int = 5) -> Network:
        """Fixed addresses need a network of a given subnet: the one that the engine would have chosen."""
        name, marks = f"celery-conformance-{self._scratch.name}", labels(self._scratch)
        probe = self.client.networks.create(name, labels=marks)
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
