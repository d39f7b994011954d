"""Where servers and workers live: what a runtime has to offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness._processes import Process
from harness._servers import Servers
from harness._spaces import Spaces


@dataclass(frozen=True)
class Conditions:
    """What a worker has of its own; only in a container may it differ from the defaults."""

    memory_mb: int | None = None
    own_clock: bool = False


class Runtime(Protocol):
    """One of a process of the run; `embedded`, `containers` and `external` are."""

    @property
    def proxy_host(self) -> str:
        """The address at which workers and clients alike reach a proxy of the harness."""

    @property
    def listen_host(self) -> str:
        """The address at which a worker has to listen to be reached at its process's `address`."""

    @property
    def spaces(self) -> Spaces:
        """How scenarios share the servers."""

    def start_servers(self, tag: str) -> Servers:
        """Fresh ones, or those that are there. Raises SetupBroken."""

    def worker(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        conditions: Conditions,
    ) -> Process:
        """A worker that has yet to be started, with a log of its name in the scenario's directory.

        `argv` begins with this interpreter, in whose place stands the worker's own; `environment` is what it is
        given beyond what every process there has.
        """

    def stop(self) -> None:
        """End and remove everything that is still there."""
