"""The workload: tasks that any Celery application can run without being changed.

A worker loads this module with Celery's own `-I celery_conformance_probe`; the module stands alone, so that
nothing else of the harness enters the application. Each execution is written to the journal, a directory of
JSON lines files (one a process) that no fault reaches; it is flushed before and after each effect. A task that
reaches a *mark* stays there until the harness releases it by creating the mark's file.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import json
import mmap
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import Task, current_app, current_task, shared_task, signals
from celery.app.task import Context
from celery.exceptions import Ignore, Reject
from celery.worker.request import Request

DIRECTORY = Path(os.environ["CELERY_CONFORMANCE_DIRECTORY"])
LIFE = os.environ["CELERY_CONFORMANCE_LIFE"]
NODE = os.environ.get("CELERY_CONFORMANCE_NODE", "client")
SESSIONS = os.environ.get("CELERY_CONFORMANCE_SESSIONS", "")
AGENT_RUN = os.environ.get("CELERY_CONFORMANCE_AGENT_RUN", "")
AGENT_MEMORY = os.environ.get("CELERY_CONFORMANCE_AGENT_MEMORY", "")
_LOOK_S = 0.005
_TICK_S = 0.05

if ASKED_TO_ACCEPT := os.environ.get("CELERY_CONFORMANCE_ACCEPT"):
    current_app.conf.accept_content = [*current_app.conf.accept_content, ASKED_TO_ACCEPT]

if PATIENCE_S := os.environ.get("CELERY_CONFORMANCE_SOFT_SHUTDOWN_S"):
    current_app.conf.worker_soft_shutdown_timeout = float(PATIENCE_S)

if PATIENCE := os.environ.get("CELERY_CONFORMANCE_RESULT_RETRIES"):
    current_app.conf.result_backend_transport_options = {
        **current_app.conf.result_backend_transport_options,
        "retry_policy": {"max_retries": int(PATIENCE), "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
    }

if EXPIRES_S := os.environ.get("CELERY_CONFORMANCE_RESULT_EXPIRES"):
    current_app.conf.result_expires = float(EXPIRES_S)

if os.environ.get("CELERY_CONFORMANCE_PLAIN_RESULTS"):
    current_app.conf.result_extended = False

if PERIODIC := os.environ.get("CELERY_CONFORMANCE_BEAT"):
    _asked = json.loads(PERIODIC)
    current_app.conf.beat_schedule |= {
        name: {"task": f"conformance.{name}", "schedule": every_s, "options": {"queue": _asked["queue"]}}
        for name, every_s in _asked["tasks"].items()
    }

# The workload's own clock, taken before a scenario moves those of the process.
_monotonic = time.monotonic
_sleep = time.sleep


def journal(event: str, task: str | None = None, execution: str | None = None, **value: object) -> None:
    """Append one line to this process's journal, flushed to the kernel, which outlives any signal."""
    line = {
        "f": event,
        "task": task,
        "execution": execution,
        "pid": os.getpid(),
        "life": LIFE,
        "node": NODE,
        "at": _monotonic(),
        "value": value,
    }
    with (DIRECTORY / "journal" / f"{LIFE}.{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def hold_at(mark: str, task: str, execution: str | None = None) -> None:
    """Say that the mark is reached, then wait for its release."""
    journal("mark", task, execution, mark=mark)
    release = DIRECTORY / "released" / f"{task}.{mark}"
    while not release.exists():
        _sleep(_LOOK_S)


def _held_at_file_steps(step: str) -> None:
    """Have a task stay at the mark `file step` in the middle of writing a file below the results.

    That is before `mkdir`, `fsync` or `rename`, after it was `renamed`, or when a part of it is written (`write`).
    """
    parts = [0]

    def here(place: Any) -> bool:
        path = Path(f"/proc/self/fd/{place}").readlink() if isinstance(place, int) else place
        return "/results/" in str(path) and bool(current_task) and not (DIRECTORY / "file step").exists()

    def reached() -> None:
        (DIRECTORY / "file step").touch()  # once: whoever writes it later is not held
        hold_at("file step", current_task.request.id)

    def around(name: str, *, before: bool) -> None:
        real = getattr(os, name)

        def patched(place: Any, *rest: Any, **named: Any) -> Any:
            held = here(place)
            if held and name == "write":
                parts[0] += 1
                held = parts[0] > 1
            if held and before:
                reached()
            done = real(place, *rest, **named)
            if held and not before:
                reached()
            return done

        setattr(os, name, patched)

    around("rename" if step == "renamed" else step, before=step != "renamed")


if step := os.environ.get("CELERY_CONFORMANCE_FILE_STEP"):
    _held_at_file_steps(step)


def probe(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A shared task `conformance.<name>` whose executions are journalled; it is given its execution's id."""

    def decorate(function: Callable[..., Any]) -> Any:
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            execution = uuid.uuid4().hex
            delivery = self.request.delivery_info or {}
            journal(
                "start",
                self.request.id,
                execution,
                retries=self.request.retries,
                redelivered=bool(delivery.get("redelivered")),
                eager=bool(self.request.is_eager),
            )
            try:
                result = function(self, execution, *args, **kwargs)
            except BaseException as error:
                journal("end", self.request.id, execution, raised=type(error).__name__)
                raise
            journal("end", self.request.id, execution, returned=True)
            return result

        run.__name__ = function.__name__
        run.__doc__ = function.__doc__
        return shared_task(name=f"conformance.{function.__name__}", bind=True, **options)(run)

    return decorate


@dataclasses.dataclass
class Parcel:
    """A dataclass to send about."""

    label: str
    weight: float


class Unspeakable:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("this object has no repr")


@probe()
def ok(self: Any, execution: str, value: Any = "done") -> Any:
    """Return what was given."""
    return value


@shared_task(name="conformance.noop")
def noop() -> None:
    """Return at once, and leave nothing in the journal, which would take longer than all the rest."""


@probe()
def nest(self: Any, execution: str, queue: str) -> str:
    """Publish another task from within, and return its id."""
    return str(current_app.tasks["conformance.ok"].apply_async(queue=queue).id)


@probe()
def take(self: Any, execution: str, *args: Any, **kwargs: Any) -> str:
    """Accept anything, and journal what arrived, in the task's own words."""
    said = describe((args, kwargs))
    journal("arguments", self.request.id, execution, described=said)
    return said


@probe()
def hold(self: Any, execution: str, mark: str = "working", value: Any = "released") -> Any:
    """Stay at a mark; acknowledged when it begins."""
    hold_at(mark, self.request.id, execution)
    return value


@probe(acks_late=True)
def hold_late(self: Any, execution: str, mark: str = "working", value: Any = "released") -> Any:
    """Stay at a mark; acknowledged when it ends."""
    hold_at(mark, self.request.id, execution)
    return value


@probe(acks_late=True, reject_on_worker_lost=True)
def hold_lost(self: Any, execution: str, mark: str = "working", value: Any = "released") -> Any:
    """Stay at a mark; acknowledged when it ends, and delivered again when its child is lost."""
    hold_at(mark, self.request.id, execution)
    return value


@probe(acks_late=True)
def hold_apart(self: Any, execution: str, mark: str = "working", value: Any = "released") -> Any:
    """Stay at a mark that each worker has for itself, `<mark> at <node>`; acknowledged when it ends."""
    hold_at(f"{mark} at {NODE}", self.request.id, execution)
    return value


class OwnClass(Task):
    """A task class as applications write them: derived from Celery's own, with a hook that calls no other."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Nothing."""


@probe(base=OwnClass, acks_late=True)
def hold_late_own_class(self: Any, execution: str, mark: str = "working", value: Any = "released") -> Any:
    """Stay at a mark; a task of a class that no application's settings reach; acknowledged when it ends."""
    hold_at(mark, self.request.id, execution)
    return value


class Stepwise(Task):
    """A task class whose executions stay at marks behind the body too, in hooks that Celery calls there.

    The first is between the storing of the result and the signal of the success, the second between that signal and
    the acknowledgement of a message that is acknowledged late.
    """

    abstract = True

    def on_success(self, _retval: Any, task_id: str, *_: Any) -> None:
        """Stay where the result is stored, and nobody has been told."""
        hold_at("result stored", task_id)

    def after_return(self, status: str, _retval: Any, task_id: str, *_: Any) -> None:
        """Stay where whoever listens has been told, and the main process has not."""
        if status == "SUCCESS":
            hold_at("success told", task_id)


class Hesitant(Request):
    """A delivery whose acknowledgement, in the worker's main process, stays at a mark before it is sent."""

    def acknowledge(self) -> None:
        """Stay, then acknowledge."""
        hold_at("acknowledging", str(self.id))
        super().acknowledge()


@probe(base=Stepwise)
def step(self: Any, execution: str, mark: str = "working", value: Any = "released") -> Any:
    """Stay at a mark, and at those behind the body; acknowledged when it begins."""
    hold_at(mark, self.request.id, execution)
    return value


@probe(base=Stepwise, acks_late=True, reject_on_worker_lost=True)
def step_late(self: Any, execution: str, mark: str = "working", value: Any = "released") -> Any:
    """Stay at a mark, and at those behind the body; acknowledged when it ends, and comes back from a lost child."""
    hold_at(mark, self.request.id, execution)
    return value


@probe(base=Stepwise, Request=Hesitant)
def step_unacknowledged(self: Any, execution: str, mark: str = "working", value: Any = "released") -> Any:
    """Stay at a mark while the acknowledgement, due when it began, stays at one as well."""
    hold_at(mark, self.request.id, execution)
    return value


@probe()
def hold_gil(self: Any, execution: str, mark: str) -> str:
    """Stay at a mark inside a C call that holds the GIL.

    The call opens a named pipe, which blocks until the harness opens its other end. A thread that ticks into
    the journal stands still meanwhile: the gap in its ticks is the proof.
    """
    pipe = DIRECTORY / "released" / f"{self.request.id}.{mark}.pipe"
    os.mkfifo(pipe)
    stop = threading.Event()
    task_id = self.request.id

    def tick() -> None:
        while not stop.is_set():
            journal("tick", task_id, execution)
            _sleep(_TICK_S)

    threading.Thread(target=tick, daemon=True).start()
    journal("mark", task_id, execution, mark=mark)
    with_gil = ctypes.PyDLL(None)
    with_gil.open(os.fsencode(pipe), os.O_RDONLY)
    stop.set()
    journal("gil released", task_id, execution)
    return "released"


@probe()
def grow(self: Any, execution: str, mark: str = "working") -> None:
    """Stay at a mark, then take memory until the kernel ends it. Only for workers with a limit.

    Pages of a few large maps: the kernel cannot free what is just being mapped, and kills another process as well.
    """
    hold_at(mark, self.request.id, execution)
    maps = []
    while True:
        maps.append(mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        for offset in range(0, 1 << 30, mmap.PAGESIZE):
            maps[-1][offset] = 1


@probe()
def ask_database(self: Any, execution: str, mark: str = "working") -> None:
    """Stay at a mark in a transaction on a session of the application's own factory."""
    with _session() as session:
        journal("session", self.request.id, execution, backend=_backend(session))
        hold_at(mark, self.request.id, execution)


@probe()
def fail(self: Any, execution: str, message: str = "this task fails") -> None:
    """Raise."""
    raise ValueError(message)


@probe()
def leave(self: Any, execution: str) -> None:
    """End the process that executes it."""
    sys.exit(3)


@probe()
def ignore(self: Any, execution: str) -> None:
    """Ask Celery to store nothing."""
    raise Ignore("nothing to tell")


@probe(acks_late=True)
def reject(self: Any, execution: str) -> None:
    """Refuse the message for good."""
    raise Reject("not this one", requeue=False)


@probe()
def reject_too_late(self: Any, execution: str) -> None:
    """Give the message back, which was acknowledged when the task began."""
    raise Reject("not now", requeue=True)


@probe(acks_late=True)
def reject_once(self: Any, execution: str, mark: str = "working") -> str:
    """Give the message back the first time; stay at a mark the second time."""
    if not self.request.delivery_info.get("redelivered"):
        raise Reject("not now", requeue=True)
    hold_at(mark, self.request.id, execution)
    return "accepted"


@probe()
def unstorable(self: Any, execution: str) -> object:
    """Return what no serializer of results takes."""
    return object()


@probe()
def odd(self: Any, execution: str) -> dict[str, Any]:
    """Return what every serializer takes beside what none does."""
    gone = socket.socket()
    gone.close()
    return {
        "answer": 42,
        "words": ["one", "two"],
        "lock": threading.Lock(),
        "socket": gone,
        "generator": (number for number in ()),
    }


@probe()
def fill(self: Any, execution: str, size: int, mark: str | None = None) -> str:
    """Return a text of so many characters, after staying at a mark where one is given."""
    if mark is not None:
        hold_at(mark, self.request.id, execution)
    return "x" * size


@probe()
def report(self: Any, execution: str, *metas: Any, mark: str = "working") -> str:
    """Say so of its progress, each in turn, then stay at a mark."""
    for meta in metas:
        self.update_state(state="PROGRESS", meta=meta)
    hold_at(mark, self.request.id, execution)
    return "reported"


@probe()
def report_twice(self: Any, execution: str, first: Any, second: Any) -> str:
    """Say so of its progress, stay at the mark `working`, say something else, and stay at the mark `later`."""
    for meta, mark in ((first, "working"), (second, "later")):
        self.update_state(state="PROGRESS", meta=meta)
        hold_at(mark, self.request.id, execution)
    return "reported"


@probe()
def hold_then_fail(self: Any, execution: str, mark: str = "working") -> None:
    """Stay at a mark, then raise."""
    hold_at(mark, self.request.id, execution)
    raise ValueError("this task fails after all")


@probe()
def progress(self: Any, execution: str) -> str:
    """Report progress, in a state that is none of Celery's own."""
    self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
    return "done"


@probe()
def advance(self: Any, execution: str, mark: str = "working") -> str:
    """Report progress again and again, until the mark is released."""
    journal("mark", self.request.id, execution, mark=mark)
    release = DIRECTORY / "released" / f"{self.request.id}.{mark}"
    step = 0
    while not release.exists():
        step += 1
        self.update_state(state="PROGRESS", meta={"current": step})
        _sleep(_TICK_S)
    return "arrived"


def _run_agent(task: Any, execution: str, agent: str, mark: str, error: str | None) -> str:
    with _named(AGENT_RUN)(agent) as run:
        run.phase("at work")
        run.memory["task"] = task.request.id
        hold_at(mark, task.request.id, execution)
        run.progress(1, 2, "half of it")
        if error is not None:
            raise ValueError(error)
    return "worked"


@probe()
def work_as(self: Any, execution: str, agent: str, mark: str = "working", error: str | None = None) -> str:
    """Run an agent of the application, staying at a mark in the middle of it; then raise, if an error is given."""
    return _run_agent(self, execution, agent, mark, error)


@probe(acks_late=True)
def work_late_as(self: Any, execution: str, agent: str, mark: str = "working", error: str | None = None) -> str:
    """The same; acknowledged when it ends."""
    return _run_agent(self, execution, agent, mark, error)


@probe()
def hold_then_work_as(self: Any, execution: str, agent: str, mark: str = "working") -> str:
    """Stay at a mark, then run an agent, staying at the mark `at work` in the middle of that."""
    hold_at(mark, self.request.id, execution)
    return _run_agent(self, execution, agent, "at work", None)


@probe()
def remember(self: Any, execution: str, agent: str) -> None:
    """Journal what an agent of the application remembers in this process."""
    held = sorted(_named(AGENT_MEMORY)(agent))
    journal("memory", self.request.id, execution, agent=agent, holds=held)


@probe(max_retries=3)
def retry_once(self: Any, execution: str, countdown: float = 0.0, mark: str | None = None) -> str:
    """Ask for one retry, staying at a mark first where one is given; then return."""
    if self.request.retries == 0:
        if mark is not None:
            hold_at(mark, self.request.id, execution)
        raise self.retry(countdown=countdown, exc=ValueError("the first attempt fails"))
    return "retried"


@probe()
def emit(self: Any, execution: str, subject: str, sequence: list[str]) -> int:
    """Send Celery's own signals about another task, in any order that the harness wishes.

    Each element is `name` or `name:attempt`; attempts are told apart by their request, as in a real worker.
    """
    requests: dict[str, Context] = {}
    target = current_app.tasks["conformance.ok"]
    for element in sequence:
        name, _, attempt = element.partition(":")
        request = requests.setdefault(attempt, _request(self, subject, attempt))
        journal("signal", subject, execution, signal=name, attempt=attempt)
        _SIGNALS[name](target, subject, request)
    return len(sequence)


def _request(task: Any, subject: str, attempt: str) -> Context:
    return Context(
        id=subject,
        task="conformance.ok",
        args=(),
        kwargs={},
        retries=0,
        hostname=task.request.hostname,
        delivery_info={"redelivered": attempt not in {"", "1"}, "routing_key": "celery"},
        is_eager=False,
    )


def _published(target: Any, subject: str, request: Context) -> None:
    headers = {"id": subject, "task": target.name, "retries": 0, "eta": None}
    signals.before_task_publish.send(
        sender=target.name, body=((), {}, {}), headers=headers, exchange="", routing_key="celery", properties={}
    )


@contextmanager
def _executing(target: Any, request: Context) -> Iterator[None]:
    target.request_stack.push(request)
    try:
        yield
    finally:
        target.request_stack.pop()


def _prerun(target: Any, subject: str, request: Context) -> None:
    with _executing(target, request):
        signals.task_prerun.send(sender=target, task_id=subject, task=target, args=(), kwargs={})


def _success(target: Any, subject: str, request: Context) -> None:
    with _executing(target, request):
        signals.task_success.send(sender=target, result="done", runtime=0.0)


def _failure(target: Any, subject: str, request: Context) -> None:
    error = ValueError("emitted")
    with _executing(target, request):
        signals.task_failure.send(
            sender=target, task_id=subject, exception=error, args=(), kwargs={}, traceback=None, einfo=None
        )


def _retry(target: Any, subject: str, request: Context) -> None:
    with _executing(target, request):
        signals.task_retry.send(sender=target, request=request, reason=ValueError("emitted"), einfo=None)


def _revoked(target: Any, subject: str, request: Context) -> None:
    signals.task_revoked.send(sender=target, request=request, terminated=True, signum=15, expired=False)


_SIGNALS = {
    "published": _published,
    "prerun": _prerun,
    "success": _success,
    "failure": _failure,
    "retry": _retry,
    "revoked": _revoked,
}


def describe(value: object, depth: int = 0) -> str:
    """What a value is, in words that do not depend on anybody's serializer."""
    if depth > 60:
        return "..."
    if isinstance(value, list | tuple):
        return "[" + ", ".join(describe(item, depth + 1) for item in value) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(describe(item, depth + 1) for item in value)) + "}"
    if isinstance(value, dict):
        pairs = (f"{describe(key, depth + 1)}: {describe(item, depth + 1)}" for key, item in value.items())
        return "{" + ", ".join(sorted(pairs)) + "}"
    if isinstance(value, str) and len(value) > 1000:
        return f"str of {len(value)}"
    try:
        return ascii(value)
    except RuntimeError as error:
        return f"<{type(value).__name__}: {error}>"


def move_clock(moment: str) -> Any:
    """Move this process's wall clock to an aware ISO moment, from where it runs on; the workload's own stays.

    A step of the wall clock does not touch the monotonic one, which freezegun would move as well.
    """
    from freezegun import freeze_time  # noqa: PLC0415 - only scenarios about clocks need it in the application

    untouched = {name: getattr(time, name) for name in ("monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")}
    offset_s = time.localtime(datetime.fromisoformat(moment).timestamp()).tm_gmtoff  # frozen, it would be None
    freezer = freeze_time(datetime.fromisoformat(moment), tick=True, ignore=[__name__])
    freezer.start()
    for name, clock in untouched.items():
        setattr(time, name, clock)
    journal("clock moved", None, None, to=moment, reads=datetime.now(UTC).isoformat(), utc_offset_s=offset_s)
    return freezer


def _named(place: str) -> Any:
    """What is found at `package.module:name`."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _session() -> Any:
    return _named(SESSIONS)()


def _backend(session: Any) -> int:
    from sqlalchemy import text  # noqa: PLC0415 - only applications that have a session factory need it

    return int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())


@signals.worker_init.connect(weak=False)
def _parent_asks_database(**_: object) -> None:
    """Before its children are forked, the main process has used the factory, as applications do when they load."""
    if SESSIONS:
        with _session() as session:
            journal("session", backend=_backend(session))


@signals.worker_process_init.connect(weak=False)
def _child_starts(**_: object) -> None:
    if moment := os.environ.get("CELERY_CONFORMANCE_CLOCK"):
        move_clock(moment)


@signals.task_received.connect(weak=False)
def _received(request: Any, **_: object) -> None:
    if request.name.startswith("conformance.") and request.name != noop.name:
        journal("received", request.id)


@signals.worker_ready.connect(weak=False)
def _ready(sender: Any, **_: object) -> None:
    journal("worker ready", node=str(sender.hostname))
