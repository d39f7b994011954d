"""Subjects, chosen by a string.

`reference` and `bare-celery` are TOML files of this package; `path/to/subject.toml` is one of the user's;
`package.module:app` is a Celery application as it is, and `package.module:Class` a class that satisfies `Subject` by
shape.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

from harness._application import NOWHERE, Looked, look, refuse_unsuitable
from harness._errors import UsageError, unknown
from harness._subject import Place, Subject
from harness._timing import Timing
from harness._toml_subject import TomlSubject, read_subject

_BUILT_IN = Path(__file__).parent / "subjects"
_EXPECTED = (
    "name",
    "app",
    "capabilities",
    "lacks",
    "limits",
    "preload",
    "tables",
    "sessions",
    "metrics",
    "expiry_file",
    "api",
    "agents",
    "analysis",
    "environment",
    "command",
    "open_view",
)


def load_subject(given: str, python: str = sys.executable) -> Subject:
    """Raises UsageError when it does not exist or does not load; `python` is the interpreter of its environment."""
    if given.endswith(".toml"):
        subject = read_subject(Path(given))
        _refuse_what_hard_codes(subject, python)
        return subject
    if ":" in given:
        try:
            found = look(given, python)
        except UsageError:
            if _is_here(given):
                return _from_class(given)
            raise
        return _from_application(found) if found.kind == "application" else _from_class(given)
    built_in = {path.stem: path for path in _BUILT_IN.glob("*.toml")}
    if given not in built_in:
        raise UsageError(f"{unknown('subject', given, built_in)}; or package.module:app, or a path ending in .toml")
    return read_subject(built_in[given])


def _from_application(found: Looked) -> TomlSubject:
    """Whatever Celery itself promises, as far as this application's settings let it."""
    refuse_unsuitable(found)
    capabilities, lacks = capabilities_of(found)
    return replace(_bare(), name=found.place, app=found.place, capabilities=capabilities, lacks=lacks)


def capabilities_of(found: Looked) -> tuple[frozenset[str], dict[str, str]]:
    """What can be judged of an application without any tracker, and why the rest cannot."""
    bare = _bare()
    lacks = dict(bare.lacks)
    if found.settings.get("task_ignore_result"):
        stored = ("record", "ends", "errors", "worker", "results", "result-ttl")
        lacks |= dict.fromkeys(stored, "task_ignore_result is set: nothing is stored")
    elif not found.settings.get("task_track_started"):
        lacks["record"] = "task_track_started is off: a task that is executed is PENDING to whoever asks; set it"
    if not found.settings.get("result_extended"):
        lacks["worker"] = "result_extended is off: the result backend is not told which worker executed a task; set it"
    return bare.capabilities - lacks.keys(), lacks


def _bare() -> TomlSubject:
    return read_subject(_BUILT_IN / "bare-celery.toml")


def _refuse_what_hard_codes(subject: TomlSubject, python: str) -> None:
    """Raises UsageError where its application would not go to the servers of a run.

    What cannot be loaded without them is left alone: then its workers will say what they lack.
    """
    redis = f"redis://{NOWHERE}/0"
    place = Place(f"postgresql://{NOWHERE}/nowhere", redis, redis, Timing(), Path("state"))
    try:
        found = look(subject.app, python, subject.environment(place))
    except UsageError:
        return
    refuse_unsuitable(found, own_backend=subject.own_result_backend)


def _is_here(given: str) -> bool:
    """Whether a module is found by this process, too: a class belongs to the harness, not to the application."""
    package = given.partition(":")[0].partition(".")[0]
    return bool(package) and importlib.util.find_spec(package) is not None


def _from_class(given: str) -> Subject:
    module_name, _, class_name = given.partition(":")
    try:
        subject = getattr(importlib.import_module(module_name), class_name)()
    except Exception as error:
        raise UsageError(f"subject {given!r}: cannot be loaded: {type(error).__name__}: {error}") from error
    missing = [name for name in _EXPECTED if not hasattr(subject, name)]
    if missing:
        raise UsageError(f"subject {given!r}: it lacks {', '.join(missing)}; see harness.Subject for what is expected")
    return cast("Subject", subject)
