"""The line on a terminal that tells which scenarios run now, and what is held where.

It is drawn again every second, and makes way for the lines of scenarios that end.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness._executions import killed_processes
from harness._history import Entry, History, Kind

_EVERY_S = 1.0
_ERASE = "\r\x1b[K"
_HISTORY_MAX = 1_000_000
"""Longer ones are not read every second."""


class RunningLine:
    """The line of one session; `write` puts text on the terminal at once, which has `width()` columns by then."""

    def __init__(self, write: Callable[[str], object], width: Callable[[], int]) -> None:
        self._write = write
        self._width = width
        self._running: dict[str, Path] = {}
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        threading.Thread(target=self._tick, name="conformance running", daemon=True).start()

    def began(self, scenario: str, directory: Path) -> None:
        """A scenario runs from now on, and writes into its directory."""
        with self.aside():
            self._running[scenario] = directory

    def ended(self, scenario: str) -> None:
        """It does not any more."""
        with self.aside():
            self._running.pop(scenario, None)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Without the line, for whatever else is to be written."""
        with self._lock:
            self._write(_ERASE)
            yield
            self._draw()

    def stop(self) -> None:
        """Take the line away for good."""
        with self._lock:
            self._stopped.set()
            self._write(_ERASE)

    def _draw(self) -> None:
        if self._running and not self._stopped.is_set():
            told = ", ".join(_told(scenario, at) for scenario, at in self._running.items())
            self._write(f"{_ERASE}  running: {told}"[: self._width() + len(_ERASE) - 1])

    def _tick(self) -> None:
        while not self._stopped.wait(_EVERY_S):
            with self._lock:
                self._draw()


def _told(scenario: str, directory: Path) -> str:
    name = scenario.rpartition("::")[2]
    try:
        return " ".join([name, *map("[{}]".format, held(directory))])
    except (OSError, ValueError, TypeError, KeyError):  # no history that can be read; a run does not fail for this line
        return name


def held(directory: Path) -> list[str]:
    """Of a scenario that runs: which marks have been reached by whom, and are not released."""
    path = directory / "history.jsonl"
    small = path.is_file() and path.stat().st_size <= _HISTORY_MAX
    history = History(entries=_truth_and_faults(path) if small else [])
    killed = killed_processes(history)
    return [
        f"{entry.value['mark']} held in {entry.value['life']}"
        for entry in history.truth("mark")
        if (entry.value["life"], entry.value["pid"]) not in killed
        and not (directory / "released" / f"{entry.task}.{entry.value['mark']}").exists()
    ]


def _truth_and_faults(path: Path) -> list[Entry]:
    """The last line may not be whole yet."""
    lines = path.read_text().split("\n")[:-1]
    said = [json.loads(line) for line in lines if '"truth"' in line or '"fault"' in line]
    return [Entry(**{**each, "kind": Kind(each["kind"])}) for each in said]
