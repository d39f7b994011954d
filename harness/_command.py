"""A command of the subject's command line, run to its end; what it prints is kept apart from what it logs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness._errors import NeverCame
from harness._forkserver import Forkserver
from harness._processes import OwnedProcess


@dataclass(frozen=True)
class CommandRun:
    """What a command did."""

    exit_code: int
    output: str
    errors: str

    def json(self) -> Any:
        """Its standard output as JSON; None where it is none."""
        try:
            return json.loads(self.output)
        except ValueError:
            return None


def command_process(
    name: str, argv: Sequence[str], environment: Mapping[str, str], directory: Path, forkserver: Forkserver | None
) -> OwnedProcess:
    """The process that will run it, with a log of its name in `directory`; forked where it is a Python program."""
    return OwnedProcess(
        name,
        argv,
        environment,
        Path.cwd(),
        directory / f"{name}.log",
        output=directory / f"{name}.out",
        forkserver=forkserver if argv[0] == sys.executable else None,
    )


def run_to_end(process: OwnedProcess, within_s: float) -> CommandRun:
    """Raises NeverCame when it does not end within `within_s` seconds; it is killed then."""
    assert process.output is not None
    process.start()
    try:
        code = process.wait(within_s)
    except NeverCame:
        process.destroy()
        raise
    return CommandRun(code, process.output.read_text(errors="replace"), process.log.read_text(errors="replace"))
