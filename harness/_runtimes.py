"""The runtimes by name: whether one can be used here, what dead runs left of it, and one made ready."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness._binaries import find_postgres, find_redis
from harness._embedded import EmbeddedRuntime
from harness._errors import SetupBroken, UsageError, unknown
from harness._external import ExternalRuntime, check_servers, named_servers
from harness._local import LocalPrograms
from harness._runtime import Runtime
from harness._spaces import remove_dead_guests

RUNTIMES = ("embedded", "containers", "external")
BROKERS = ("redis", "rabbitmq")
_CONTAINERS = "it takes a container: a memory limit, a clock, a network or a disk of its own"
LACKS: Mapping[str, Mapping[str, str]] = {
    "embedded": {"containers": _CONTAINERS},
    "containers": {},
    "external": {
        "containers": _CONTAINERS,
        "own_servers": "it stops, pauses or empties servers, and these are not the run's own",
    },
    "redis": {},
    "rabbitmq": {
        "redis_broker": "it is about Redis as a broker: its visibility time-out, or messages lost with its data"
    },
}
"""By runtime and by broker, the markers of scenarios that cannot run there, with the reason."""


@dataclass(frozen=True)
class RuntimeChoice:
    """What the user asked for; paths matter to `embedded` alone, a worker's `requirements` to `containers`.

    Raises UsageError where it makes no sense.
    """

    name: str
    broker: str = "redis"
    postgres_bin: Path | None = None
    redis_server: Path | None = None
    requirements: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse names that do not exist, and a broker that is not to be had."""
        if self.name not in RUNTIMES:
            raise unknown("runtime", self.name, RUNTIMES)
        if self.broker not in BROKERS:
            raise unknown("broker", self.broker, BROKERS)
        if self.name == "embedded" and self.with_rabbitmq:
            raise UsageError("the runtime `embedded` has no RabbitMQ: use --runtime=containers or --runtime=external")

    @property
    def with_rabbitmq(self) -> bool:
        """Whether messages go through a RabbitMQ."""
        return self.broker == "rabbitmq"

    def versions(self) -> dict[str, str]:
        """The servers that it will use, by product. Raises SetupBroken or UsageError where it cannot be used."""
        if self.name == "embedded":
            redis = find_redis(self.redis_server)
            return {"Postgres": find_postgres(self.postgres_bin).version, redis.product: redis.version}
        if self.name == "external":
            return check_servers(named_servers(with_rabbitmq=self.with_rabbitmq))
        _require_containers()
        from harness._engine import open_engine  # noqa: PLC0415
        from harness._images import REQUIREMENTS, build_missing, server_versions  # noqa: PLC0415

        client = open_engine()
        try:
            if self.requirements:
                os.environ[REQUIREMENTS] = " ".join(self.requirements)  # for helpers, too
                build_missing(client)
            return {**server_versions(client, with_rabbitmq=self.with_rabbitmq), "Docker": client.version()["Version"]}
        finally:
            client.close()

    def remove_leftovers(self) -> list[str]:
        """Remove what dead runs left outside their scratch directories, once those are gone; what could not be."""
        if self.name == "containers":
            from harness._engine import open_engine, remove_dead  # noqa: PLC0415

            client = open_engine()
            stuck = remove_dead(client)
            client.close()
            return stuck
        if self.name == "external":
            remove_dead_guests(named_servers(with_rabbitmq=self.with_rabbitmq))
        return []

    def open(self, scratch: Path, logs: Path, programs: LocalPrograms) -> Runtime:
        """Ready to start servers. Raises SetupBroken."""
        if self.name == "containers":
            from harness._containers import ContainersRuntime  # noqa: PLC0415

            return ContainersRuntime(scratch, logs, with_rabbitmq=self.with_rabbitmq)
        if self.name == "external":
            return ExternalRuntime(scratch, programs, with_rabbitmq=self.with_rabbitmq)
        return EmbeddedRuntime(scratch, logs, programs, postgres_bin=self.postgres_bin, redis_server=self.redis_server)


def _require_containers() -> None:
    """Docker's libraries are an extra, and take a second to import: nothing else may need them."""
    missing = [name for name in ("docker", "pytest_celery", "testcontainers") if find_spec(name) is None]
    if missing:
        raise SetupBroken(
            f"the runtime `containers` needs {', '.join(missing)}: pip install 'celery-conformance[containers]'"
        )
