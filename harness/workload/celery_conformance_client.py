"""The client: a process of the application that publishes, asks and waits on behalf of a scenario.

It reads one JSON request a line from standard input and answers each with one JSON line, `{"ok": ...}` or
`{"fail": ..., "error": ...}`. Arguments travel pickled, from the harness that started it and from nobody else.
"""

from __future__ import annotations

import base64
import importlib
import json
import logging
import os
import pickle
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import celery_conformance_probe
from celery import Celery, chain, chord, group
from celery.app.utils import find_app
from celery.backends import base as backends
from celery.result import AsyncResult, GroupResult
from kombu import serialization


def serve(app: Celery) -> None:
    """Answer until standard input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever the application prints must not look like an answer
    print(json.dumps({"ok": "ready"}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": _ACTIONS[request.pop("do")](app, **request)}
        except Exception as error:  # noqa: BLE001 - the harness decides what an error means
            answer = {"fail": type(error).__name__, "error": str(error)[:2000]}
        print(json.dumps(answer, default=str), file=answers, flush=True)


def _publish(
    app: Celery, task: str, task_id: str, arguments: str, options: dict[str, Any], make: str | None = None
) -> float:
    """Publish, by its name alone where it is not known here; returns how long it took, in seconds."""
    with _arguments(arguments, make) as (args, kwargs):
        name = f"conformance.{task}"
        publish = app.tasks[name].apply_async if name in app.tasks else partial(app.send_task, name)
        began = time.monotonic()
        publish(args, kwargs, task_id=task_id, **options)
        return time.monotonic() - began


def _publish_many(app: Celery, task: str, queue: str, count: int) -> float:
    """Publish one task after the other without arguments; returns how long all of them took, in seconds."""
    publish = app.tasks[f"conformance.{task}"].apply_async
    began = time.monotonic()
    for _ in range(count):
        publish(queue=queue)
    return time.monotonic() - began


def _compose(app: Celery, kind: str, queue: str) -> list[str]:
    """Publish several tasks in one of Celery's ways to compose them; returns all ids, the last one's at the end."""
    member = app.tasks["conformance.ok"].s().set(queue=queue)
    apart = app.tasks["conformance.ok"].si("apart").set(queue=queue)
    held = app.tasks["conformance.hold"].si().set(queue=queue)
    composed = {
        "chain": chain(member, apart, apart),
        "group": group(member, member),
        "chord": chord([member, member], apart),
        "chain of groups": chain(member, group(apart, apart), apart),
        "chain from a hold": chain(held, apart, apart),
        "chord over a hold": chord([held, apart], apart),
    }[kind]
    return list(dict.fromkeys(node.id for node in _members(composed.apply_async())))


def _members(result: Any) -> Iterator[AsyncResult]:
    """The results of single tasks, of which a composition's result is made."""
    if result.parent is not None:
        yield from _members(result.parent)
    if isinstance(result, GroupResult):
        for child in result.results:
            yield from _members(child)
    else:
        yield result


def _eager(app: Celery, task: str, task_id: str, arguments: str, make: str | None = None) -> Any:
    """Run in this process, as `task_always_eager` does; returns the outcome."""
    with _arguments(arguments, make) as (args, kwargs):
        return app.tasks[f"conformance.{task}"].apply(args, kwargs, task_id=task_id).get()


def _describe(app: Celery, arguments: str, serializer: str, make: str | None = None) -> str:
    """What a task is given when these arguments have gone through a serializer and nothing else."""
    with _arguments(arguments, make) as (args, kwargs):
        content_type, encoding, payload = serialization.dumps((args, kwargs), serializer)
        arrived = serialization.loads(payload, content_type, encoding, accept=[content_type])
        return celery_conformance_probe.describe((tuple(arrived[0]), arrived[1]))


def _result(app: Celery, task_id: str, timeout: float) -> dict[str, Any]:
    """Wait for the end as the application's own callers do."""
    result = AsyncResult(task_id, app=app)
    value = result.get(timeout=timeout, propagate=False)
    return {"state": result.state, "value": celery_conformance_probe.describe(value), "error": str(value)[:500]}


def _state(app: Celery, task_id: str) -> str:
    """What the result backend has of the task at this moment, in one word."""
    return str(AsyncResult(task_id, app=app).state)


def _ping(app: Celery, timeout: float) -> list[str]:
    """The node names that answer."""
    return sorted(name for reply in app.control.ping(timeout=timeout) or [] for name in reply)


def _inspect(app: Celery, timeout: float) -> dict[str, Any]:
    """The node names as `inspect` reports them, with the ids of what each executes."""
    active = app.control.inspect(timeout=timeout).active() or {}
    return {name: [task["id"] for task in tasks] for name, tasks in active.items()}


def _revoke(app: Celery, task_id: str, terminate: bool) -> None:
    app.control.revoke(task_id, terminate=terminate)


class _Batch:
    """Stands for the Redis client of a backend that stores much: what it writes goes out a thousand at a time."""

    def __init__(self, client: Any) -> None:
        self._pipeline = client.pipeline(transaction=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """As the end of a pipeline, which this is not."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def pipeline(self, **_: Any) -> _Batch:
        """Itself: its commands go out with all the others."""
        return self

    def get(self, key: str) -> None:
        """Nothing is stored yet of what is stored here."""

    def execute(self) -> None:
        """Later."""

    def send(self) -> None:
        """Now."""
        self._pipeline.execute()


def _store(app: Celery, path: str) -> int:
    """Store what a file says, a line for each entry, by the application's own backend; returns how many."""
    backend = app.backend
    batch = _Batch(backend.client)
    backend.__dict__["client"] = batch
    try:
        for number, line in enumerate(Path(path).read_text().splitlines(), 1):
            _store_entry(backend, batch, **json.loads(line))
            if number % 1000 == 0:
                batch.send()
        batch.send()
    finally:
        del backend.__dict__["client"]
    return number


def _store_entry(
    backend: Any,
    batch: Any,
    task_id: str,
    state: str,
    result: Any,
    text: str | None,
    compressed: bool,
    listed: bool,
    gone: bool,
) -> None:
    key = backend.get_key_for_task(task_id)
    backend.store_result(task_id, result, state)
    if text is not None:
        value = base64.b64decode(text)
        batch.set(key, backends.compress_payload(value, "gzip") if compressed else value, keepttl=True)
    if listed or gone:
        batch.delete(key)
    if listed:
        batch.rpush(key, "SUCCESS")


def _analyse(app: Celery, run: str, target: str, more: dict[str, Any]) -> str:
    """Begin an analysis by the application's own function; returns its task's id."""
    module, _, name = run.partition(":")
    return str(getattr(importlib.import_module(module), name)(app, target, **more))


def _move_clock(app: Celery, moment: str) -> None:
    celery_conformance_probe.move_clock(moment)


def _nested(levels: int) -> list[Any]:
    """A list in a list in a list, deeper than any serializer follows."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@contextmanager
def _arguments(text: str, make: str | None) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments; `make` puts before them something that cannot travel through the pipe."""
    args, kwargs = pickle.loads(base64.b64decode(text))  # noqa: S301 - from the harness's own pipe
    with Path(os.devnull).open() as file:
        made: dict[str | None, tuple[Any, ...]] = {
            None: (),
            "open file": (file,),
            "parcel": (celery_conformance_probe.Parcel("fragile", 1.5),),
            "unspeakable": (celery_conformance_probe.Unspeakable(),),
            "deep": (_nested(5000),),
        }
        yield (*made[make], *args), kwargs


_ACTIONS = {
    "publish": _publish,
    "publish_many": _publish_many,
    "compose": _compose,
    "eager": _eager,
    "describe": _describe,
    "result": _result,
    "state": _state,
    "ping": _ping,
    "inspect": _inspect,
    "revoke": _revoke,
    "move_clock": _move_clock,
    "store": _store,
    "analyse": _analyse,
}


if __name__ == "__main__":
    logging.basicConfig(format="[%(asctime)s: %(levelname)s/client] %(message)s", level=logging.INFO)
    application = find_app(sys.argv[1])
    application.loader.import_default_modules()  # Django is set up by this, as its own processes do by other means
    application.finalize()
    serve(application)
