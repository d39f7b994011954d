"""The catalogue: every promise with its severity, what it takes to judge it, and the defects that break it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness._errors import UsageError, unknown

SEVERITIES = ("critical", "high", "medium", "low")


@dataclass(frozen=True)
class DefectEntry:
    """A bug to put back: its file's name, and how its promise turns red."""

    id: str
    promise: str
    check: str
    violation: str
    reason_for_reach: str | None = None
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    shown_by: str | None = None
    """The scenario, `test_...` with its parameters, that is tried first where one is enough."""


@dataclass(frozen=True)
class Promise:
    """One row of the specification."""

    id: str
    title: str
    severity: str
    statement: str
    capabilities: frozenset[str]
    scenarios: tuple[str, ...]
    defects: tuple[DefectEntry, ...]
    markers: tuple[str, ...]
    not_applicable: Mapping[str, str]
    advice: str = ""
    """The setting or the pattern that mends a subject that breaks it."""

    @property
    def covered(self) -> bool:
        """Whether any scenario judges it."""
        return bool(self.scenarios)


@dataclass(frozen=True)
class Catalogue:
    """All promises, in their order."""

    directory: Path
    promises: Mapping[str, Promise]
    defects_directory: Path
    canaries: tuple[str, ...]

    def select(self, wanted: Iterable[str]) -> list[Promise]:
        """The promises with these ids, or of these systems (`STALE`). Raises UsageError."""
        chosen: dict[str, Promise] = {}
        systems = {promise_id.partition("-")[0] for promise_id in self.promises}
        for name in wanted:
            upper = name.upper()
            found = {
                key: promise for key, promise in self.promises.items() if key == upper or key.startswith(f"{upper}-")
            }
            if not found:
                raise unknown("promise", name, [*self.promises, *systems])
            chosen |= found
        return list(chosen.values())

    @property
    def defects(self) -> dict[str, DefectEntry]:
        """Every defect by its id."""
        return {defect.id: defect for promise in self.promises.values() for defect in promise.defects}

    def defect(self, defect_id: str) -> DefectEntry:
        """Raises UsageError where there is none."""
        if defect_id not in self.defects:
            raise unknown("defect", defect_id, self.defects)
        return self.defects[defect_id]

    def defect_file(self, defect_id: str) -> Path:
        """The patch module of a defect."""
        return self.defects_directory / f"{defect_id}.py"


def load_catalogue(path: Path) -> Catalogue:
    """Raises UsageError with the entry and the field that is wrong."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"catalogue {path}: {error}") from error
    promises: dict[str, Promise] = {}
    for entry in table.get("promise", []):
        promise = _promise(path, entry)
        if promise.id in promises:
            raise UsageError(f"catalogue {path}: {promise.id} stands twice")
        twice = {defect.id for defect in promise.defects} & {d.id for p in promises.values() for d in p.defects}
        if twice:
            raise UsageError(f"catalogue {path}: {promise.id}: the defect {min(twice)} stands twice")
        promises[promise.id] = promise
    directory = path.parent.resolve()
    defects = (directory / table.get("defects_directory", "defects")).resolve()
    return Catalogue(directory, promises, defects, tuple(table.get("canaries", [])))


def _promise(path: Path, entry: Mapping[str, Any]) -> Promise:
    name = entry.get("id", "an entry without id")
    known = {
        "id",
        "title",
        "severity",
        "statement",
        "advice",
        "capabilities",
        "scenarios",
        "defects",
        "markers",
        "not_applicable",
    }
    for key in entry:
        if key not in known:
            raise UsageError(f"catalogue {path}: {name}: {unknown('key', key, known)}")
    for key in ("id", "title", "severity", "statement"):
        if not isinstance(entry.get(key), str):
            raise UsageError(f"catalogue {path}: {name}: {key} is missing")
    if entry["severity"] not in SEVERITIES:
        raise UsageError(f"catalogue {path}: {name}: {unknown('severity', entry['severity'], SEVERITIES)}")
    return Promise(
        id=entry["id"],
        title=entry["title"],
        severity=entry["severity"],
        statement=entry["statement"],
        capabilities=frozenset(entry.get("capabilities", [])),
        scenarios=tuple(entry.get("scenarios", [])),
        defects=tuple(_defect(path, entry["id"], defect) for defect in entry.get("defects", [])),
        markers=tuple(entry.get("markers", [])),
        not_applicable=entry.get("not_applicable", {}),
        advice=entry.get("advice", ""),
    )


def _defect(path: Path, promise: str, entry: Mapping[str, Any]) -> DefectEntry:
    needed = {"id", "check", "violation"}
    known = needed | {"reason_for_reach", "not_applicable", "shown_by"}
    for key in entry:
        if key not in known:
            raise UsageError(f"catalogue {path}: {promise}: {unknown('key of a defect', key, known)}")
    for key in sorted(needed - set(entry)):
        raise UsageError(f"catalogue {path}: {promise}: {key} of a defect is missing")
    return DefectEntry(
        entry["id"],
        promise,
        entry["check"],
        entry["violation"],
        entry.get("reason_for_reach"),
        entry.get("not_applicable", {}),
        entry.get("shown_by"),
    )
