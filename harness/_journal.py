"""The truth journal, read as it grows, and the marks at which executions are held.

A process's wall clock may have been moved; the monotonic one is the machine's, and tells this process's time.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness._history import History, Kind


class Journal:
    """Copies what the workload writes into the history, each line once."""

    def __init__(self, directory: Path, history: History) -> None:
        self._lines = directory / "journal"
        self._released = directory / "released"
        self._history = history
        self._read: dict[Path, int] = {}
        self._epoch = time.time() - time.monotonic()
        for path in (self._lines, self._released, directory / "defect"):
            path.mkdir(parents=True)

    def catch_up(self) -> None:
        """Read what is new."""
        fresh: list[dict[str, Any]] = []
        for path in self._lines.iterdir():
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # its writer is not done with it, or was killed in the middle
                    self._read[path] = self._read.get(path, 0) + len(line)
                    fresh.append(json.loads(line))
        for said in sorted(fresh, key=lambda said: said["at"]):
            value = {"pid": said["pid"], "life": said["life"], "execution": said["execution"], **said["value"]}
            self._history.append(
                Kind.TRUTH,
                "info",
                said["f"],
                process=said["node"],
                task=said["task"],
                value=value,
                at=said["at"],
                wall=datetime.fromtimestamp(self._epoch + said["at"], UTC).isoformat(),
            )

    def release(self, task: str, mark: str) -> None:
        """Let every execution of the task pass the mark, present and future."""
        (self._released / f"{task}.{mark}").touch()

    def release_gil(self, task: str, mark: str) -> None:
        """Open the other end of the pipe that a task blocks on inside its C call."""
        os.close(os.open(self._released / f"{task}.{mark}.pipe", os.O_WRONLY | os.O_NONBLOCK))
