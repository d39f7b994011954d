"""The runtimes by name: whether one can be used here, what dead runs left of it, and one made ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness._binaries import find_postgres, find_redis
from harness._embedded import EmbeddedRuntime
from harness._errors import SetupBroken
from harness._local import LocalPrograms
from harness._runtime import Runtime

RUNTIMES = ("embedded", "containers")
_CONTAINERS = "it takes a container: a memory limit, a clock, a network or a disk of its own"
LACKS: Mapping[str, Mapping[str, str]] = {"embedded": {"containers": _CONTAINERS}, "containers": {}}
"""By runtime, the markers of scenarios that cannot run there, with the reason."""


@dataclass(frozen=True)
class RuntimeChoice:
    """What the user asked for; paths matter to `embedded` alone."""

    name: str
    postgres_bin: Path | None = None
    redis_server: Path | None = None

    def versions(self) -> dict[str, str]:
        """The servers that it will use, by product. Raises SetupBroken or UsageError where it cannot be used."""
        if self.name == "embedded":
            redis = find_redis(self.redis_server)
            return {"Postgres": find_postgres(self.postgres_bin).version, redis.product: redis.version}
        _require_containers()
        from harness._engine import open_engine  # noqa: PLC0415
        from harness._images import server_versions  # noqa: PLC0415

        client = open_engine()
        try:
            return {**server_versions(client), "Docker": client.version()["Version"]}
        finally:
            client.close()

    def remove_leftovers(self) -> None:
        """Remove what dead runs left outside their scratch directories, once those are gone."""
        if self.name == "containers":
            from harness._engine import open_engine, remove_dead  # noqa: PLC0415

            client = open_engine()
            remove_dead(client)
            client.close()

    def open(self, scratch: Path, logs: Path, programs: LocalPrograms) -> Runtime:
        """Ready to start servers. Raises SetupBroken."""
        if self.name == "containers":
            from harness._containers import ContainersRuntime  # noqa: PLC0415

            return ContainersRuntime(scratch, logs)
        return EmbeddedRuntime(scratch, logs, programs, postgres_bin=self.postgres_bin, redis_server=self.redis_server)


def _require_containers() -> None:
    """Docker's libraries are an extra, and take a second to import: nothing else may need them."""
    missing = [name for name in ("docker", "pytest_celery", "testcontainers") if find_spec(name) is None]
    if missing:
        raise SetupBroken(
            f"the runtime `containers` needs {', '.join(missing)}: pip install 'celery-conformance[containers]'"
        )
