"""A command of the subject's command line, run to its end; what it prints is kept apart from what it logs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from harness._errors import NeverCame
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


def run_to_end(process: OwnedProcess, within_s: float) -> CommandRun:
    """Run a process that has an `output`. Raises NeverCame after `within_s` seconds; it is killed then."""
    process.start()
    return outcome_of(process, within_s)


def outcome_of(process: OwnedProcess, within_s: float) -> CommandRun:
    """Wait for the end of one that has been started. Raises NeverCame as `run_to_end` does."""
    assert process.output is not None
    try:
        code = process.wait(within_s)
    except NeverCame:
        process.destroy()
        raise
    return CommandRun(code, process.output.read_text(errors="replace"), process.log.read_text(errors="replace"))
