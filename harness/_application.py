"""A Celery application as its user has it: what it is, told by its own environment.

Nothing of it is imported here: another process looks, with the interpreter in whose environment it is installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness._errors import UsageError
from harness._local import inherited

_LOOK = Path(__file__).parent / "workload" / "celery_conformance_look.py"
_LOOK_S = 60.0
NOWHERE = "127.0.0.1:9"
"""Whatever an application is told by the environment to use leads here while it is looked at."""
NO_REDIS = f"redis://{NOWHERE}/0"
_PYTHON = (3, 11)


@dataclass(frozen=True)
class Looked:
    """What was found at `module:name`; all but the first four only where `kind` is `application`."""

    place: str
    kind: str
    versions: Mapping[str, str]
    python: str
    settings: Mapping[str, Any]
    broker: Mapping[str, str]
    backend: Mapping[str, str | None]

    @property
    def takes_backend(self) -> bool:
        """Whether its results go where the environment says."""
        return self.backend.get("host") == NOWHERE


def look(place: str, python: str = sys.executable, given: Mapping[str, str] | None = None) -> Looked:
    """Look at `module:name`, started as its worker would be, with servers that are nowhere, or with what is given.

    Raises UsageError where it cannot be loaded.
    """
    environment = {
        **inherited(),
        "PYTHONPATH": str(Path.cwd()),
        **(given if given is not None else {"CELERY_BROKER_URL": NO_REDIS, "CELERY_RESULT_BACKEND": NO_REDIS}),
    }
    said = _said(python, environment, place)
    if "error" in said:
        raise UsageError(
            f"subject {place!r}: cannot be loaded by {python} in {Path.cwd()}: {said['error']}\n"
            "Start where `celery -A` finds it, or name the interpreter of its environment with --python."
        )
    return Looked(
        place,
        said["kind"],
        said["versions"],
        said["python"],
        said.get("settings", {}),
        said.get("broker", {}),
        said.get("backend", {}),
    )


def _said(python: str, environment: Mapping[str, str], place: str | None = None) -> dict[str, Any]:
    what = "versions" if place is None else place
    try:
        done = subprocess.run(
            [python, str(_LOOK), *([place] if place is not None else [])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LOOK_S,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"the interpreter {python} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{what}: not told within {_LOOK_S:.0f} s; does it connect when imported?") from error
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise UsageError(f"{what}: {python} cannot tell:\n{done.stderr[-2000:]}") from error
    return said


def refuse_unsuitable(found: Looked, *, own_backend: bool = False) -> None:
    """Raises UsageError, saying what to change, where the application cannot be pointed at servers of a run."""
    place = found.place
    if tuple(map(int, found.python.split(".")[:2])) < _PYTHON:
        raise UsageError(f"{place}: its interpreter is Python {found.python}; the workload needs 3.11 or newer")
    for way, host in found.broker.items():
        if host != NOWHERE:
            raise UsageError(
                f"{place} hard-codes its broker ({host}): CELERY_BROKER_URL has no effect on what it uses to {way}. "
                f"Remove broker_{way}_url from its configuration, or let it follow the environment: nothing was started"
            )
    if not own_backend and not found.takes_backend:
        raise UsageError(
            f"{place} hard-codes its result backend ({found.backend.get('kind')}): CELERY_RESULT_BACKEND has no "
            "effect. Let it follow the environment; or describe the application in a subject.toml with "
            "own_result_backend = true, which says in [environment] how to point it at {postgres_url} or {redis_url}"
        )
    if found.settings.get("task_always_eager"):
        raise UsageError(f"{place} sets task_always_eager: nothing would ever reach a worker. Unset it for this run")
    if "json" not in found.settings.get("accept_content", ["json"]):
        raise UsageError(f"{place} does not accept JSON (accept_content), in which the workload is published")
    if found.settings.get("task_create_missing_queues") is False:
        raise UsageError(
            f"{place} sets task_create_missing_queues = False; workers of a run consume queues of their own names"
        )


def interpreter(given: Path | None) -> str:
    """The one that is named, or this one. Raises UsageError where there is none."""
    if given is None:
        return sys.executable
    if not (given.is_file() and os.access(given, os.X_OK)):
        raise UsageError(f"--python {given}: no interpreter there; name one such as .venv/bin/python")
    return str(given.absolute())


def versions_of(python: str) -> dict[str, str]:
    """The versions of Celery and what matters beside it, as an interpreter finds them. Raises UsageError."""
    said = _said(python, inherited())
    if "celery" not in said["versions"]:
        raise UsageError(f"{python}: Celery is not installed there; name the interpreter of an environment that has it")
    return {"python": said["python"], **said["versions"]}
