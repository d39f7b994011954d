"""Processes that the harness owns: started in a session of their own, signalled, awaited, their output kept."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import psutil

from harness._errors import NeverCame
from harness._forkserver import ForkedProcess, Forkserver

if TYPE_CHECKING:
    from typing import IO

T = TypeVar("T")

POLL_S = 0.01
_KILL_S = 10.0


def await_until(
    what: str, look: Callable[[], T | None], within_s: float, gone: Callable[[], str | None] | None = None
) -> T:
    """The first value other than None and False that `look` gives.

    Raises NeverCame after `within_s` seconds, or at once when `gone` tells why it never will.
    """
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen is not None and seen is not False:
            return seen
        reason = gone() if gone else None
        if reason is not None:
            raise NeverCame(f"{what} never came: {reason}")
        if time.monotonic() > deadline:
            raise NeverCame(f"{what} did not come within {within_s:g} s")
        time.sleep(POLL_S)  # the pace of looking, bounded by the deadline above


class Process(Protocol):
    """What clusters and faults need of a process and its children, wherever it runs."""

    name: str
    log: Path

    def start(self) -> None:
        """Start it, or start it again after its end; the log goes on in the same file."""

    @property
    def host_name(self) -> str:
        """The name of its host, as the host itself gives it."""

    @property
    def address(self) -> str:
        """Where its ports are reached from here."""

    @property
    def running(self) -> bool:
        """Whether its main process exists."""

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""

    def members(self) -> list[psutil.Process]:
        """It and every process that it has brought forth and that exists; zombies excepted."""

    def member(self, pid: int | None = None) -> psutil.Process:
        """The member that knows itself by this process id; the main process without one. Raises NoSuchProcess."""

    def own_pid(self, member: psutil.Process) -> int:
        """The process id by which a member knows itself."""

    def fall(self, member: psutil.Process) -> list[psutil.Process]:
        """Who ends when a member is killed."""

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Signal the main process, or all members; one that is gone is no error."""

    def wait(self, within_s: float) -> int:
        """Wait for its end. Raises NeverCame."""

    def destroy(self) -> None:
        """Kill all of it, stopped members too, and reap. Safe on what is already dead."""

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""


@dataclass(frozen=True)
class Account:
    """The user that a process runs as, where it must not be root."""

    uid: int
    gid: int


@dataclass
class OwnedProcess:
    """A process with a session, a log file and a name of its own; forked where a fork server is given.

    Its standard output goes into a pipe with `pipe`, into the file `output` where one is given, else into the log.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    log: Path
    account: Account | None = None
    pipe: bool = False
    output: Path | None = None
    forkserver: Forkserver | None = None
    _popen: subprocess.Popen[bytes] | ForkedProcess | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it, or start it again after its end; the log goes on in the same file."""
        with self.log.open("ab") as log, (self.output or self.log).open("ab") as output:
            if self.forkserver is not None:
                self._popen = self.forkserver.start(
                    self.argv[1:], self.environment, self.directory, None if self.pipe else output, log
                )
                return
            self._popen = subprocess.Popen(
                list(self.argv),
                env=dict(self.environment),
                cwd=self.directory,
                stdin=subprocess.PIPE if self.pipe else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.pipe else output,
                stderr=log,
                start_new_session=True,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
            )

    @property
    def host_name(self) -> str:
        """This machine's."""
        return socket.gethostname()

    @property
    def address(self) -> str:
        """Loopback."""
        return "127.0.0.1"

    @property
    def pid(self) -> int:
        """The process id of its present life."""
        assert self._popen is not None, f"{self.name} was not started"
        return self._popen.pid

    @property
    def streams(self) -> tuple[IO[bytes], IO[bytes]]:
        """Standard input and output of a process with `pipe`."""
        assert self._popen is not None
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        return self._popen.stdin, self._popen.stdout

    @property
    def running(self) -> bool:
        """Whether its main process exists."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll() if self._popen else None

    def members(self) -> list[psutil.Process]:
        """Every process of its session, and every descendant, that exists; zombies excepted.

        A Postgres backend has a session of its own; a worker's child outlives its parent in the parent's session.
        """
        if self._popen is None:
            return []
        main = self._popen.pid
        found = {process.pid: process for process in psutil.process_iter() if _in_session(process, main)}
        with suppress(psutil.NoSuchProcess):
            found |= {child.pid: child for child in psutil.Process(main).children(recursive=True)}
        return list(found.values())

    def member(self, pid: int | None = None) -> psutil.Process:
        """The member of this process id; the main process without one. Raises NoSuchProcess."""
        return psutil.Process(pid or self.pid)

    def own_pid(self, member: psutil.Process) -> int:
        """Its process id."""
        return member.pid

    def fall(self, member: psutil.Process) -> list[psutil.Process]:
        """Itself: children outlive their parent."""
        return [member]

    def children(self) -> list[int]:
        """The process ids of its direct children."""
        try:
            return sorted(child.pid for child in psutil.Process(self.pid).children())
        except psutil.NoSuchProcess:
            return []

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Signal the main process, or the whole session; one that is gone is no error."""
        if self._popen is None:
            return
        if not group:
            self._popen.send_signal(number)
            return
        for process in self.members():
            deliver(process, number)

    def wait(self, within_s: float) -> int:
        """Wait for its end. Raises NeverCame."""
        assert self._popen is not None
        try:
            return self._popen.wait(within_s)
        except subprocess.TimeoutExpired as error:
            raise NeverCame(f"the end of {self.name} did not come within {within_s:g} s") from error

    def destroy(self) -> None:
        """Kill the whole session, stopped members too, and reap. Safe on what is already dead."""
        if self._popen is None:
            return
        doomed = self.members()
        for process in doomed:
            deliver(process, signal.SIGKILL)
        self._popen.kill()
        self._popen.wait()
        await_until(f"the end of {self.name}", lambda: not any(alive(process) for process in doomed), _KILL_S)
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                stream.close()

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return last_lines(self.log, lines)


def last_lines(log: Path, lines: int) -> str:
    """The end of a log; nothing where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def alive(process: psutil.Process) -> bool:
    """Whether this very process exists, and is no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def deliver(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a process; one that is gone already is no error."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _in_session(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
        return False
