"""A container as clusters and faults see it: a process with members, signalled and awaited from this machine.

Its processes are the engine's, on this same machine, so they are signalled as any other; they know themselves by
the numbers of their own namespace, in which the first is 1 and takes all others with it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from harness._engine import number_inside
from harness._errors import NeverCame
from harness._processes import alive, await_until, deliver, last_lines

_KILL_S = 10.0


class ContainerProcess:
    """A container that has yet to be started; `create` makes it when it first is.

    With `disposable`, its end by `destroy` removes it; else it can be started again with its data.
    """

    def __init__(self, name: str, log: Path, create: Callable[[], Container], *, disposable: bool) -> None:
        self.name = name
        self.log = log
        self._create = create
        self._disposable = disposable
        self._container: Container | None = None
        self._main: psutil.Process | None = None
        self._code: int | None = None

    @property
    def container(self) -> Container:
        """The container itself."""
        assert self._container is not None, f"{self.name} was not started"
        return self._container

    def start(self) -> None:
        """Start it, or start it again after its end."""
        if self._container is None:
            self._container = self._create()
        self._code = None
        self._container.start()
        self._container.reload()
        with suppress(psutil.NoSuchProcess):  # it may be over already
            self._main = psutil.Process(self._container.attrs["State"]["Pid"] or -1)

    @property
    def host_name(self) -> str:
        """The container's."""
        return str(self.container.attrs["Config"]["Hostname"])

    @property
    def address(self) -> str:
        """Its own on the run's network."""
        (network,) = self.container.attrs["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    @property
    def running(self) -> bool:
        """Whether its first process exists."""
        return self._main is not None and alive(self._main)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        if self.running or self._container is None:
            return None
        if self._code is None:
            with suppress(NotFound):
                self._code = int(self._container.wait(timeout=_KILL_S)["StatusCode"])
        return self._code

    def members(self) -> list[psutil.Process]:
        """Every process in it that exists; zombies excepted."""
        if self._main is None or not self.running:
            return []
        found = [self._main]
        with suppress(psutil.NoSuchProcess):
            found += self._main.children(recursive=True)
        return [process for process in found if alive(process)]

    def member(self, pid: int | None = None) -> psutil.Process:
        """The member that knows itself by this number; the first without one. Raises NoSuchProcess."""
        for process in self.members():
            with suppress(OSError):
                if number_inside(process) == (pid or 1):
                    return process
        raise psutil.NoSuchProcess(pid or 1)

    def own_pid(self, member: psutil.Process) -> int:
        """The number by which a member knows itself."""
        return number_inside(member)

    def fall(self, member: psutil.Process) -> list[psutil.Process]:
        """All of it when the first process is killed; any other falls alone."""
        return self.members() if member == self._main else [member]

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Signal the first process, or all members; one that is gone is no error."""
        for process in self.members() if group else self.members()[:1]:
            deliver(process, number)

    def wait(self, within_s: float) -> int:
        """Wait for its end. Raises NeverCame."""
        await_until(f"the end of {self.name}", lambda: not self.running, within_s)
        code = self.exit_code
        if code is None:
            raise NeverCame(f"the exit code of {self.name} is not known to the engine")
        return code

    def destroy(self) -> None:
        """Kill all of it, stopped members too; its output stays in its log. Safe on what is already dead."""
        if self._container is None:
            return
        self.send(signal.SIGKILL)
        await_until(f"the end of {self.name}", lambda: not self.running, _KILL_S)
        self.keep_output()
        if self._disposable:
            self.discard()

    def discard(self) -> None:
        """Remove the container with all that it holds; the next start makes another.

        One that the engine does not remove just now, as it is still letting go of its files, goes with the run.
        """
        container, self._container = self.container, None
        with suppress(APIError):
            container.remove(force=True, v=True)

    def keep_output(self) -> None:
        """Add to its log what the engine has of its output, where it does not write the log itself."""
        if self._container is not None and not self._disposable:
            with suppress(NotFound):
                self.log.write_bytes(self._container.logs())

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        with suppress(APIError):
            self.keep_output()
        return last_lines(self.log, lines)


def endpoint(client: Any, network: str, address: str | None = None) -> dict[str, Any]:
    """What makes a container part of a network, at an address where one is given."""
    return {
        "network": network,
        "networking_config": {network: client.api.create_endpoint_config(ipv4_address=address)},
    }
