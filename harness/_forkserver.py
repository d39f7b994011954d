"""Processes of the subject that start fast: forked from a process that holds Celery's modules already.

A process started here is what `subprocess` would have made, but for three things: its parent is the fork server,
its command line in the process table is the fork server's, and the libraries were imported before its environment
was set. Pools that patch the standard library first (eventlet, gevent) must not be started so, and systems
other than Linux are not served.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from harness._errors import SetupBroken

PRELOADED = (
    "celery.bin.celery",
    "celery.apps.worker",
    "celery.worker.consumer",
    "celery.concurrency.prefork",
    "celery.concurrency.solo",
    "celery.concurrency.thread",
    "celery.backends.redis",
    "celery.app.amqp",
    "kombu.transport.redis",
)
"""What every Celery process on Redis imports."""

_SCRIPT = Path(__file__).parent / "workload" / "celery_conformance_forkserver.py"
_PACKET_BYTES = 128 * 1024
_ANSWER_S = 40.0


class ForkedProcess:
    """A process of the fork server; what `subprocess.Popen` offers, as far as the harness uses it."""

    def __init__(
        self, server: Forkserver, pid: int, handle: int, stdin: IO[bytes] | None, stdout: IO[bytes] | None
    ) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self.returncode: int | None = None
        self._server = server
        self._handle = handle

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None and self._over(0):
            self.returncode = self._server.exit_code(self.pid)
            os.close(self._handle)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self.returncode is None and not self._over(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Signal it; one that has ended is left alone, whoever has its number now."""
        if self.poll() is None:
            try:
                signal.pidfd_send_signal(self._handle, number)
            except ProcessLookupError:
                return

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:
        if self.returncode is None:
            os.close(self._handle)

    def _over(self, timeout: float | None) -> bool:
        # Not select, which knows no descriptor beyond 1023.
        watched = select.poll()
        watched.register(self._handle, select.POLLIN)
        return bool(watched.poll(None if timeout is None else timeout * 1000))


class Forkserver:
    """One server; `launch` lets it import while something else is done, else the first process waits for it."""

    def __init__(
        self, preload: Sequence[str], environment: Mapping[str, str], log: Path, python: str = sys.executable
    ) -> None:
        self._python = python
        self._preload = (*PRELOADED, *preload)
        self._environment = environment
        self._log = log
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ended: dict[int, int] = {}

    def launch(self) -> None:
        """Start it unless it runs; returns at once."""
        if self._control is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_ANSWER_S)
        with self._log.open("ab") as log, theirs:
            self._server = subprocess.Popen(
                [self._python, str(_SCRIPT), str(theirs.fileno()), *self._preload],
                env={**self._environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._control = ours

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        output: IO[bytes] | None,
        log: IO[bytes],
    ) -> ForkedProcess:
        """Start `python ARGUMENTS` (`-m module ...` or a script) in a session of its own.

        Standard error goes into `log`, standard output into `output`; without that, input and output are pipes.
        """
        program = {"arguments": list(arguments), "environment": dict(environment), "directory": str(directory)}
        if output is not None:
            with Path(os.devnull).open("rb") as nothing:
                streams = [nothing.fileno(), output.fileno(), log.fileno()]
                return ForkedProcess(self, *self._ask(program, streams), None, None)
        child_in, into = os.pipe()
        out, child_out = os.pipe()
        try:
            pid, handle = self._ask(program, [child_in, child_out, log.fileno()])
        except SetupBroken:
            os.close(into)
            os.close(out)
            raise
        finally:
            os.close(child_in)
            os.close(child_out)
        return ForkedProcess(self, pid, handle, os.fdopen(into, "wb"), os.fdopen(out, "rb"))

    def exit_code(self, pid: int) -> int:
        """Of a process that has ended."""
        while pid not in self._ended:
            self._note(self._receive()[0])
        return self._ended.pop(pid)

    def close(self) -> None:
        """End the server; what it started is not touched."""
        if self._server is not None and self._control is not None:
            self._control.close()
            self._server.kill()
            self._server.wait()

    def _ask(self, program: Mapping[str, object], descriptors: Sequence[int]) -> tuple[int, int]:
        """The process id, and a descriptor of the process that no recycled id can mistake."""
        self.launch()
        assert self._control is not None
        try:
            socket.send_fds(self._control, [json.dumps(program).encode()], list(descriptors))
        except OSError as error:
            raise self._broken(str(error)) from error
        while True:
            answer, handles = self._receive()
            if "started" in answer:
                return answer["started"], handles[0]
            self._note(answer)

    def _note(self, answer: Mapping[str, int]) -> None:
        self._ended[answer["ended"]] = answer["code"]

    def _receive(self) -> tuple[dict[str, int], list[int]]:
        assert self._control is not None
        try:
            packet, handles, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 1)
        except OSError as error:
            raise self._broken(str(error)) from error
        if not packet:
            raise self._broken("it ended")
        return json.loads(packet), handles

    def _broken(self, cause: str) -> SetupBroken:
        said = self._log.read_text(errors="replace")[-2000:]
        return SetupBroken(f"the fork server failed: {cause}\nlast lines of {self._log}:\n{said}")
