"""Programs of the subject on this machine: clients, commands, and the workers of the embedded runtime."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness._errors import SetupBroken
from harness._forkserver import Forkserver
from harness._processes import OwnedProcess
from harness._runtime import Conditions
from harness._scratch import LABEL, temporary_files

_PATCHING_POOLS = {"eventlet", "gevent"}


class LocalPrograms:
    """Starts them; on Linux, those in Python are forked from a process that has imported their libraries."""

    def __init__(self, scratch: Path, preload: Sequence[str], log: Path, python: str = sys.executable) -> None:
        self.python = python
        self._given = {
            **{name: value for name, value in inherited().items() if name != "PYTHONPATH"},
            "TMPDIR": str(temporary_files(scratch)),
            LABEL: str(scratch),
        }
        self._forkserver = Forkserver(preload, self._given, log, python) if sys.platform == "linux" else None

    def launch(self) -> None:
        """Let the libraries be imported while something else is done."""
        if self._forkserver is not None:
            self._forkserver.launch()

    def program(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        *,
        pipe: bool = False,
        output: Path | None = None,
    ) -> OwnedProcess:
        """One that has yet to be started, with a log of its name in `directory`."""
        forked = argv[0] == self.python and not _PATCHING_POOLS & set(argv)
        return OwnedProcess(
            name,
            argv,
            {**self._given, **environment},
            Path.cwd(),
            directory / f"{name}.log",
            pipe=pipe,
            output=output,
            forkserver=self._forkserver if forked else None,
        )

    def worker(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        conditions: Conditions,
    ) -> OwnedProcess:
        """A worker that has yet to be started. Raises SetupBroken for conditions that take a container."""
        if conditions != Conditions():
            raise SetupBroken(f"{name}: {conditions} takes a container; mark the scenario with pytest.mark.containers")
        return self.program(name, argv, environment, directory)

    def close(self) -> None:
        """End the process that others were forked from; they are not touched."""
        if self._forkserver is not None:
            self._forkserver.close()


def inherited() -> dict[str, str]:
    """The caller's environment, less what would steer Celery, pytest or metrics in another process."""
    steering = ("CELERY_", "PYTEST_", "COV_", "PROMETHEUS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)}
