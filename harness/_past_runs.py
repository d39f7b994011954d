"""Runs that are over: their `report.json`, read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness._errors import UsageError


@dataclass(frozen=True)
class PastRun:
    """One run's report; `promises` are the rows of its `report.json`."""

    path: Path
    subject: str
    name: str
    runtime: str
    broker: str
    seed: int
    versions: Mapping[str, str]
    promises: Sequence[Mapping[str, Any]]
    summary: Mapping[str, int]

    @property
    def directory(self) -> Path:
        """Where the run left everything else."""
        return self.path.parent

    @property
    def where(self) -> str:
        """Its runtime, and its broker where that is not the usual one."""
        return self.runtime if self.broker == "redis" else f"{self.runtime}, {self.broker}"

    @property
    def verdicts(self) -> dict[str, str]:
        """By promise."""
        return {row["id"]: row["verdict"] for row in self.promises}

    def row(self, promise: str) -> Mapping[str, Any] | None:
        """What became of a promise, where it was looked at."""
        return next((row for row in self.promises if row["id"] == promise), None)


def read_run(given: Path) -> PastRun:
    """A run by its directory or its `report.json`. Raises UsageError when it is neither."""
    path = given / "report.json" if given.is_dir() else given
    try:
        said = json.loads(path.read_text())
        for row in said["promises"]:
            _ = row["id"], row["verdict"], row["scenarios"]
        return PastRun(
            path.resolve(),
            said["subject"],
            said["name"],
            said["runtime"],
            said["broker"],
            said["seed"],
            said["versions"],
            said["promises"],
            said["summary"],
        )
    except OSError as error:
        raise UsageError(f"report {path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"report {path}: not a report.json of a conformance run: {error!r}") from error


def tell_apart(runs: Sequence[PastRun]) -> list[str]:
    """A short name for each: its subject's, and what else it takes to tell it from the others."""
    names = [run.name for run in runs]
    for more in (
        [f"on {run.where}" for run in runs],
        [f"Celery {run.versions.get('celery', '?')}" for run in runs],
        [run.directory.name for run in runs],
    ):
        names = [
            f"{name}, {word}" if _differ(names, more, name) else name for name, word in zip(names, more, strict=True)
        ]
    return names


def _differ(names: Sequence[str], words: Sequence[str], name: str) -> bool:
    return len({word for other, word in zip(names, words, strict=True) if other == name}) > 1
