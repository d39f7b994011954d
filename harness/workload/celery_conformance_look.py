"""Looks at what `module:name` is, in the environment in which it is installed, and prints that as one JSON line.

Without a name it tells the versions of what is installed there, and imports none of it. Of a Celery application it
tells where its broker and backend lead when the environment names others, and the settings on which it depends what
can be judged. It connects to nothing. Runs on any Python 3, to be able to say which.
"""

import json
import os
import sys
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

TOLD = (
    "task_track_started",
    "task_ignore_result",
    "task_always_eager",
    "task_create_missing_queues",
    "accept_content",
    "result_extended",
)
PACKAGES = ("celery", "kombu", "billiard", "redis", "django", "django-celery-results", "sqlalchemy", "psycopg")


def look(place: str) -> dict:
    """What is there; `error` where it cannot be told."""
    told = installed()
    module, _, name = place.partition(":")
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # noqa: BLE001 - whatever the application raises when it is imported
        where = traceback.extract_tb(error.__traceback__)[-1]
        told["error"] = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        return told
    try:
        from celery import Celery  # noqa: PLC0415 - it may not be there
    except ImportError as error:
        told["error"] = f"no Celery is installed there: {error}"
        return told
    if not isinstance(found, Celery):
        told["kind"] = "class" if isinstance(found, type) else type(found).__name__
        return told
    told["kind"] = "application"
    found.finalize()
    found.loader.import_default_modules()
    told["broker"] = {"read": host_of(found.connection_for_read()), "write": host_of(found.connection_for_write())}
    told["backend"] = backend_of(found)
    told["settings"] = {name: shown(found.conf.get(name)) for name in TOLD}
    return told


def installed() -> dict:
    """The interpreter's version, and those of what is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"python": ".".join(map(str, sys.version_info[:3])), "versions": found}


def host_of(connection: object) -> str:
    """Where a connection would lead; no password is told."""
    return f"{connection.hostname}:{connection.port}"


def backend_of(app: object) -> dict:
    """The kind of result backend, and where it would lead."""
    try:
        backend = app.backend
    except Exception as error:  # noqa: BLE001 - whatever a backend raises that does not like its URL
        return {"kind": None, "error": f"{type(error).__name__}: {error}"}
    parameters = getattr(backend, "connparams", {})
    return {
        "kind": f"{type(backend).__module__}.{type(backend).__name__}",
        "host": f"{parameters.get('host')}:{parameters.get('port')}",
    }


def shown(value: object) -> object:
    """A setting as JSON has it."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return str(value)


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever the application prints must not look like the answer
    with os.fdopen(answers, "w") as into:
        into.write(json.dumps(look(sys.argv[1]) if len(sys.argv) > 1 else installed()))
