"""The history of one scenario: everything asked, done and seen, in order, as JSON lines on disk.

An entry has a `kind`:

- `operation`: something asked of the system. `type` is `invoke`, then `ok`, `fail` (it certainly did not
  happen) or `info` (nobody knows).
- `observation`: what the subject said when looked at from outside.
- `truth`: what the workload's journal knows, which no fault can reach.
- `fault`: `inject`, `landed` with its evidence, `heal`.

`at` is seconds on the machine's monotonic clock, `wall` the aware UTC time; checks compare `at`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """Where an entry comes from."""

    OPERATION = "operation"
    OBSERVATION = "observation"
    TRUTH = "truth"
    FAULT = "fault"


@dataclass(frozen=True)
class Entry:
    """One line of the history. `f` is the function or event, `process` who did or saw it."""

    index: int
    kind: Kind
    type: str
    f: str
    process: str
    task: str | None
    value: Mapping[str, Any]
    at: float
    wall: str

    @property
    def moment(self) -> datetime:
        """The wall clock time, aware, in UTC."""
        return datetime.fromisoformat(self.wall)


TERMINAL = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
"""Statuses that end a task."""


def moment_of(text: object) -> datetime | None:
    """An aware time in ISO 8601; None for whatever else a subject may tell."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo else None


@dataclass
class History:
    """Append-only. Typed by hand in a test, or written through to `path`."""

    path: Path | None = None
    entries: list[Entry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def append(
        self,
        kind: Kind,
        type: str,  # noqa: A002 - the field's name in the format
        f: str,
        *,
        process: str = "harness",
        task: str | None = None,
        value: Mapping[str, Any] | None = None,
        at: float | None = None,
        wall: str | None = None,
    ) -> Entry:
        """Write one entry down; `at` and `wall` default to now."""
        with self._lock:
            entry = Entry(
                len(self.entries),
                kind,
                type,
                f,
                process,
                task,
                dict(value or {}),
                time.monotonic() if at is None else at,
                wall or datetime.now(UTC).isoformat(),
            )
            self.entries.append(entry)
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps(asdict(entry), default=str) + "\n")
            return entry

    def select(
        self,
        kind: Kind,
        f: str | None = None,
        *,
        task: str | None = None,
        type: str | None = None,  # noqa: A002
    ) -> list[Entry]:
        """The entries of a kind, in order, narrowed down."""
        return [
            entry
            for entry in list(self.entries)
            if entry.kind is kind
            and (f is None or entry.f == f)
            and (task is None or entry.task == task)
            and (type is None or entry.type == type)
        ]

    def observations(self, f: str, task: str | None = None) -> list[Entry]:
        """What was seen of something."""
        return self.select(Kind.OBSERVATION, f, task=task)

    def truth(self, f: str | None = None, task: str | None = None) -> list[Entry]:
        """What the journal knows."""
        return self.select(Kind.TRUTH, f, task=task)

    def faults(self, type: str) -> list[Entry]:  # noqa: A002 - the field's name in the format
        """The faults injected, landed or healed."""
        return self.select(Kind.FAULT, type=type)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self.entries))


def read_history(path: Path) -> list[Entry]:
    """The entries of a scenario that is over. Raises ValueError where that is no history."""
    return [Entry(**{**said, "kind": Kind(said["kind"])}) for said in map(json.loads, path.read_text().splitlines())]
