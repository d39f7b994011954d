"""What a scenario holds: servers, workers and clients of the subject, the history, and the faults in force.

A scenario starts workers, publishes, arranges its race by marks and faults, looks at records, and ends with
`judge`. It never sleeps: each wait is for something that comes, with a deadline that follows from the timing.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg

from harness._agents import Agent
from harness._analysers import Analyser, Step
from harness._analyses import Analyses
from harness._api import healthy
from harness._bystander import Bystander, slowest_ms
from harness._client import Client, ClientFailed, Links, packed
from harness._command import CommandRun, outcome_of
from harness._embedded_servers import free_port
from harness._errors import NeverCame, SetupBroken
from harness._faults import Evidence, Fault
from harness._followers import Followers
from harness._history import Entry, History, Kind
from harness._journal import Journal
from harness._local import LocalPrograms
from harness._metrics import picked, scraped
from harness._pressure import Pressure
from harness._processes import OwnedProcess, Process, await_until
from harness._proxy import Proxy
from harness._runtime import Conditions, Runtime
from harness._servers import Address, Servers, open_redis, postgres_url, rabbitmq_url, redis_url
from harness._sockets import sockets_to
from harness._stored import Stored
from harness._subject import AnalysisPlace, ApiPlace, Expiry, MetricsPlace, Place, Subject
from harness._surfaces import Api
from harness._timing import STARTUP_S, Timing
from harness._verdict import Check, Judgement, Verdict, certify
from harness._view import OWN_NAME, Record, View

T = TypeVar("T")
P = TypeVar("P", bound=Process)

WORKING = "working"
"""The mark at which a task stays that a scenario holds without another name for it."""

STATE = "state"
"""What the subject's processes leave to one another lies in the directory of this name."""

_STORED_AT_LEAST = 1000
"""So many entries a second are stored, on two loaded cores."""
_HERE = Path(__file__).parent
_ROWS = "SELECT to_jsonb(t) FROM {table} t"
_SESSIONS = """
    SELECT a.pid, a.xact_start, a.state LIKE 'idle in transaction%%', count(l.mode)
    FROM pg_stat_activity a
    LEFT JOIN pg_locks l ON l.pid = a.pid AND l.mode IN ('RowExclusiveLock', 'RowShareLock')
    WHERE a.datname = current_database() AND a.application_name NOT LIKE %s
    GROUP BY a.pid, a.xact_start, a.state
"""


class PromiseBroken(AssertionError):
    """The scenario's verdict is fail."""


class PromiseUnknown(AssertionError):
    """The scenario came to no verdict."""


@dataclass(frozen=True)
class Task:
    """A published task, by which a scenario holds and releases it."""

    id: str
    name: str
    cluster: Cluster = field(repr=False)

    def await_mark(self, mark: str = WORKING, count: int = 1) -> Entry:
        """Wait until an execution, or the `count`-th, is held at the mark. Raises NeverCame."""
        return self.cluster.await_truth("mark", task=self.id, count=count, mark=mark)

    def await_end(self, count: int = 1) -> Entry:
        """Wait until an execution has returned or raised. Raises NeverCame."""
        return self.cluster.await_truth("end", task=self.id, count=count)

    def release(self, mark: str = WORKING) -> None:
        """Let it pass."""
        self.cluster.journal.release(self.id, mark)

    def release_gil(self, mark: str) -> None:
        """Let a task that holds the GIL pass."""
        self.cluster.journal.release_gil(self.id, mark)


@dataclass
class Worker:
    """A worker of the subject."""

    node: str
    process: Process
    links: Links | None = None
    metrics: MetricsPlace | None = None

    @property
    def postgres(self) -> Proxy:
        """Its link to Postgres; only a worker started `behind_proxy` has one."""
        assert self.links is not None, "start this worker behind_proxy=True"
        return self.links.postgres

    @property
    def broker(self) -> Proxy:
        """Its link to the broker; only a worker started `behind_proxy` has one."""
        assert self.links is not None, "start this worker behind_proxy=True"
        return self.links.broker


@dataclass(frozen=True)
class Assignment:
    """All that a cluster is given by its runtime."""

    subject: Subject
    runtime: Runtime
    programs: LocalPrograms
    servers: Servers
    database: str
    redis_database: int
    vhost: str
    directory: Path
    tag: str
    timing: Timing
    defect: Path | None = None


@dataclass(frozen=True)
class _Look:
    """What a look at a record showed, and when it began."""

    value: Mapping[str, Any]
    at: float
    wall: str


class Cluster:
    """One scenario's world."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self.subject = assignment.subject
        self.servers = assignment.servers
        self.timing = assignment.timing
        self.database_url = postgres_url(self.servers.postgres, assignment.database)
        self.redis_database = assignment.redis_database
        self.directory = assignment.directory
        self.state = self.directory / STATE
        self.history = History(self.directory / "history.jsonl")
        self.journal = Journal(self.directory, self.history)
        self.judgement: Judgement | None = None
        self.processes: list[Process] = []
        self._faults: list[Fault] = []
        self._undo = ExitStack()
        self._clients: dict[str, Client] = {}
        self._seen: dict[str, _Look] = {}
        self._pressure = Pressure()
        self._analysis: AnalysisPlace | None = None
        self.view = self._open_view()
        self._undo.callback(self._close_view)

    # -- processes ---------------------------------------------------------------------------------------------

    def worker(
        self,
        name: str,
        *,
        pool: str = "prefork",
        concurrency: int = 1,
        queues: Sequence[str] = (),
        behind_proxy: bool = False,
        environment: Mapping[str, str] | None = None,
        timing: Timing | None = None,
        memory_mb: int | None = None,
        own_clock: bool = False,
        beat: Mapping[str, float] | None = None,
        metrics: bool = False,
        expiry: Expiry | None = None,
        expiry_in_file: bool = False,
        debug: bool = False,
        wait: bool = True,
    ) -> Worker:
        """Start a worker; it consumes the queue of its own name unless `queues` says otherwise.

        A limit of memory (`memory_mb`) and a clock that `skew_clock` may move (`own_clock`) take a container.
        `beat` has it publish tasks of the workload periodically, by their names with seconds. With `metrics` it can
        be scraped. `expiry` is how long it keeps results, said in the environment or in a file. With `debug`
        its log tells everything. `name` becomes a
        node name of this scenario's own, unless it has an @ already. Raises SetupBroken when it does not come up.
        """
        self.client()  # started beside the first worker, not after it
        node = name if "@" in name else f"{name}@{self._assignment.tag}"
        links = self._links(node) if behind_proxy else None
        argv = [
            self._assignment.programs.python,
            "-m",
            "celery",
            "-A",
            self.subject.app,
            "worker",
            "-I",
            "celery_conformance_probe",
        ]
        argv += ["-n", node, "--pool", pool, "-c", str(concurrency), "-Q", ",".join(queues or [name])]
        argv += ["-l", "DEBUG" if debug else "INFO"]
        argv += ["--without-mingle", "--without-gossip"]
        extra = {"CELERY_CONFORMANCE_NODE": node, **self._agents_run_by(), **(environment or {})}
        if beat is not None:
            argv += ["--beat", "--schedule", str(self.directory / f"{name}.schedule")]
            extra["CELERY_CONFORMANCE_BEAT"] = json.dumps({"queue": name, "tasks": dict(beat)})
        label = self._label(f"worker-{name}")
        place = replace(
            self._place(links, timing or self.timing),
            metrics=self._metrics_place(label) if metrics else None,
            expiry=self._written_down(label, expiry) if expiry and expiry_in_file else expiry,
        )
        environment = self._environment(label, place, extra)
        conditions = Conditions(memory_mb, own_clock)
        process = self._start(self._assignment.runtime.worker(label, argv, environment, self.directory, conditions))
        worker = Worker(node, process, links, place.metrics)
        self.history.append(Kind.OPERATION, "invoke", "start worker", process=node, value={"pool": pool})
        if wait:
            self.await_worker(worker)
        return worker

    def await_worker(self, worker: Worker) -> None:
        """Wait until it says that it is ready."""
        life = worker.process.name

        def look() -> Entry | None:
            self.journal.catch_up()
            return next((entry for entry in self.history.truth("worker ready") if entry.value["life"] == life), None)

        try:
            ready = await_until(f"worker {worker.node}", look, STARTUP_S, lambda: self._ended(worker.process))
        except NeverCame as error:
            raise SetupBroken(f"{error}\nlast lines of {worker.process.log}:\n{worker.process.tail()}") from error
        self.history.append(
            Kind.OPERATION, "ok", "start worker", process=worker.node, value={"pid": ready.value["pid"]}
        )

    def client(
        self, name: str = "client", *, behind_proxy: bool = False, environment: Mapping[str, str] | None = None
    ) -> Client:
        """A client process by its name, started when it is first asked for."""
        if name not in self._clients:
            links = self._links(name) if behind_proxy else None
            script = _HERE / "workload" / "celery_conformance_client.py"
            argv = [self._assignment.programs.python, str(script), self.subject.app]
            label = self._label(name)
            given = self._environment(label, self._place(links, self.timing), environment or {})
            process = self._assignment.programs.program(label, argv, given, self.directory, pipe=True)
            self._clients[name] = Client(self._start(process), links)
        return self._clients[name]

    def api(self, name: str = "api", *, behind_proxy: bool = False, like: Api | None = None) -> Api:
        """Start an API of the subject, and wait until it says that it is well; `like` another one, with its tokens.

        Raises SetupBroken.
        """
        shape = self.subject.api
        assert shape is not None, f"{self.subject.name} has no API"
        label = self._label(name)
        host, port = self._assignment.runtime.listen_host, free_port()
        owner, token, owner_token = (f"{what}-{uuid.uuid4().hex}" for what in ("owner", "token", "token"))
        listening = ApiPlace(host, port, f"http://{host}:{port}", token, owner, owner_token)
        if like is not None:
            listening = replace(like.place, host=host, port=port, url=listening.url)
        links = self._links(label) if behind_proxy else None
        place = replace(self._place(links, self.timing), api=listening)
        argv = self.subject.command("api", place)
        assert argv is not None, f"{self.subject.name} has no command api"
        environment = self._environment(label, place, {})
        made = self._assignment.runtime.worker(label, argv, environment, self.directory, Conditions())
        process = self._start(made)
        self.history.append(Kind.OPERATION, "invoke", "start api", process=label)
        reached = replace(listening, url=f"http://{process.address}:{port}")
        try:
            await_until(
                f"an answer of {label}", lambda: healthy(reached, shape), STARTUP_S, lambda: self._ended(process)
            )
        except NeverCame as error:
            raise SetupBroken(f"{error}\nlast lines of {process.log}:\n{process.tail()}") from error
        self.history.append(Kind.OPERATION, "ok", "start api", process=label)
        followers = Followers()
        self.at_hand(followers.close)
        return Api(process, reached, self, followers, links)

    def analyses(self, scripts: Mapping[str, Sequence[Step]], **how: Any) -> Analyses:
        """Start analyser services, each with its script, before the subject's processes that are to know them.

        `how` are fields of `AnalysisPlace`.
        """
        shape = self.subject.analysis
        assert shape is not None, f"{self.subject.name} makes no analyses"
        services = {}
        for name, script in scripts.items():
            analyser = Analyser(name, script, self.proxy_host)
            self.at_hand(analyser.close)
            services[name] = analyser.start()
        around = self.directory / "around"
        results = around / "some" / "folders" / "deep" / "results"
        results.mkdir(parents=True)
        self._analysis = AnalysisPlace(json.dumps(services), results, **how)
        return Analyses(self._analysis, around, shape, self)

    def agent(self, name: str) -> Agent:
        """An agent of the subject, by a name of its own; nothing runs it yet."""
        assert self.subject.agents is not None, f"{self.subject.name} has no agents"
        return Agent(name, self.subject.agents, self)

    def run_command(
        self, name: str, *flags: str, link: Proxy | None = None, timing: Timing | None = None
    ) -> CommandRun:
        """Run a command of the subject's command line, reaching the broker through `link` where one is given."""
        place = self._place(None, timing or self.timing)
        if link is not None:
            through = self._broker_url(link)
            place = replace(place, broker_url=through)
            if self.servers.rabbitmq is None:
                place = replace(place, redis_url=through)
        return self.begin_command(name, place, *flags)()

    def begin_command(
        self, name: str, place: Place, *flags: str, haste: float | None = None, **words: str
    ) -> Callable[[], CommandRun]:
        """Start a command of the subject's command line; what it gives waits for its end, and notes it.

        With `haste` its pauses, and its clock in them, pass so many times faster: those of a Python program that
        calls `time.sleep`.
        """
        process = self._start(self._command(name, flags, place, words, haste))

        def finish() -> CommandRun:
            done = outcome_of(process, STARTUP_S + self.timing.patience_s)
            report = done.json()
            value = {"flags": flags, "exit_code": done.exit_code, "report": report, "errors": done.errors[-2000:]}
            value |= {"text": done.output[-8000:]} if report is None else {}
            self.history.append(Kind.OPERATION, "fail" if done.exit_code else "ok", name, process="cli", value=value)
            return done

        return finish

    def _command(
        self, name: str, flags: Sequence[str], place: Place, words: Mapping[str, str], haste: float | None = None
    ) -> OwnedProcess:
        argv = self.subject.command(name, place, **words)
        assert argv is not None, f"{self.subject.name} has no command {name}"
        self.history.append(Kind.OPERATION, "invoke", name, process="cli", value={"flags": flags})
        label = self._label(name)
        environment = self._environment(label, place, {})
        if haste is not None:
            environment["PYTHONPATH"] = os.pathsep.join([str(_HERE / "hasty_sleep"), environment["PYTHONPATH"]])
            environment["CELERY_CONFORMANCE_HASTE"] = str(haste)
        return self._assignment.programs.program(
            label, [*argv, *flags], environment, self.directory, output=self.directory / f"{label}.out"
        )

    def proxy_to_broker(self, name: str) -> Proxy:
        """A link to the broker for something that is neither worker nor client."""
        proxy = Proxy(name, self.servers.broker, self._assignment.runtime.proxy_host)
        self._undo.callback(proxy.close)
        return proxy

    # -- work --------------------------------------------------------------------------------------------------

    def publish(
        self,
        task: str,
        *args: Any,
        queue: str,
        client: Client | None = None,
        options: Mapping[str, Any] | None = None,
        make: str | None = None,
        handle: Task | None = None,
        **kwargs: Any,
    ) -> Task:
        """Publish a task of the workload. Raises ClientFailed when the application refuses.

        `handle`, from `unpublished`, is by which to look at a task whose publication fails. `make` has the client
        put before the arguments what cannot travel to it: `open file`, `parcel`, `unspeakable`, `deep`.
        """
        handle = handle or self.unpublished(task)
        value = {"task": task, "queue": queue, "options": dict(options or {})}
        self.history.append(Kind.OPERATION, "invoke", "publish", process="client", task=handle.id, value=value)
        try:
            took = (client or self.client()).ask(
                "publish",
                task=task,
                task_id=handle.id,
                arguments=packed(args, kwargs),
                options={"queue": queue, **(options or {})},
                make=make,
            )
        except ClientFailed as error:
            value = {"error": str(error)}
            self.history.append(Kind.OPERATION, "fail", "publish", process="client", task=handle.id, value=value)
            raise
        value = {"seconds": took}
        self.history.append(Kind.OPERATION, "ok", "publish", process="client", task=handle.id, value=value)
        return handle

    def compose(self, kind: str, *, queue: str) -> list[Task]:
        """Publish a `chain`, `group`, `chord`, `chain of groups`, `chain from a hold` or `chord over a hold`.

        Gives its members; the last one is the end of it.
        """
        self.history.append(Kind.OPERATION, "invoke", "compose", process="client", value={"kind": kind})
        ids = self.client().ask("compose", kind=kind, queue=queue)
        self.history.append(Kind.OPERATION, "ok", "compose", process="client", value={"kind": kind, "tasks": ids})
        return [self.task(task_id) for task_id in ids]

    def task(self, task_id: str) -> Task:
        """A task of the workload that somebody else has published."""
        return Task(task_id, "ok", self)

    def hold(self, queue: str, *, task: str = "hold") -> Task:
        """Publish a task that stays in the middle of its work, and wait until it is there and its record says so."""
        handle = self.publish(task, WORKING, queue=queue)
        handle.await_mark()
        self.await_record(handle, {"STARTED"})
        return handle

    def unpublished(self, task: str) -> Task:
        """An id that nobody has published."""
        return Task(str(uuid.uuid4()), task, self)

    def run_eagerly(self, task: str, *args: Any, make: str | None = None, **kwargs: Any) -> Task:
        """Run a task in the client's own process."""
        handle = self.unpublished(task)
        self.history.append(Kind.OPERATION, "invoke", "eager", process="client", task=handle.id)
        value = self.client().ask("eager", task=task, task_id=handle.id, arguments=packed(args, kwargs), make=make)
        self.history.append(Kind.OPERATION, "ok", "eager", process="client", task=handle.id, value={"returned": value})
        return handle

    def revoke(self, task: Task, *, terminate: bool = False) -> None:
        """Revoke it as an application does: for workers that have not started it, or to end what they execute."""
        value = {"terminate": terminate}
        self.history.append(Kind.OPERATION, "invoke", "revoke", process="client", task=task.id, value=value)
        self.client().ask("revoke", task_id=task.id, terminate=terminate)
        self.history.append(Kind.OPERATION, "ok", "revoke", process="client", task=task.id, value=value)

    def describe(self, args: Sequence[Any], kwargs: Mapping[str, Any], serializer: str, make: str | None = None) -> str:
        """What a task must be given when these arguments are published, in the workload's words."""
        said: str = self.client().ask("describe", arguments=packed(args, kwargs), serializer=serializer, make=make)
        return said

    def described(self, value: object, serializer: str = "json") -> str:
        """A value in the words in which `result` notes it, after its way through a serializer."""
        return self.describe([value], {}, serializer).removeprefix("[[").removesuffix("], {}]")

    def result(self, task: Task) -> Mapping[str, Any]:
        """Wait for the task's result as the application's callers do, and note it."""
        timeout = self.timing.patience_s
        try:
            found: dict[str, Any] = self.client().ask("result", task_id=task.id, timeout=timeout, within_s=timeout + 10)
        except ClientFailed as error:
            found = {"state": None, "value": None, "error": str(error)}
        self.history.append(Kind.OBSERVATION, "info", "result", process="client", task=task.id, value=found)
        return found

    def note_state(self, task: Task) -> None:
        """Note which state the result backend tells of a task at this moment, without waiting; None where it fails."""
        try:
            state, error = self.client().ask("state", task_id=task.id, within_s=self.timing.patience_s), ""
        except ClientFailed as failed:
            state, error = None, str(failed)
        self.note("state", task=task, state=state, error=error)

    def store(self, entries: Sequence[Stored]) -> None:
        """Fill the result backend, as processes of the application do that nobody tracks."""
        path = self.directory / f"stored-{uuid.uuid4().hex}.jsonl"
        path.write_text("\n".join(entry.line() for entry in entries))
        self.history.append(Kind.OPERATION, "invoke", "store", process="client", value={"entries": len(entries)})
        count = self.client().ask("store", path=str(path), within_s=STARTUP_S + len(entries) / _STORED_AT_LEAST)
        self.history.append(Kind.OPERATION, "ok", "store", process="client", value={"entries": count})

    def inspect(self) -> list[str]:
        """The node names that answer to `inspect`, as Celery's own command asks; noted."""
        nodes: list[str] = self.client().ask("ping", timeout=self.timing.ping_timeout_s)
        self.note("inspect", nodes=nodes)
        return nodes

    def await_log(self, process: Process, *words: str, count: int = 1) -> str | None:
        """Wait for the `count`-th line of a process's log that has all the words; None when it does not come.

        Not coming is for a check to judge.
        """

        def look() -> str | None:
            lines = process.log.read_text(errors="replace").splitlines()
            found = [line for line in lines if all(word in line for word in words)]
            return found[count - 1] if len(found) >= count else None

        with suppress(NeverCame):
            return await_until(f"a line with {', '.join(words)}", look, self.timing.patience_s)
        return None

    def scrape(self, worker: Worker, when: str, at_least: Mapping[str, float] | None = None) -> dict[str, float | None]:
        """Scrape a worker's metrics as Prometheus does, until they are `at_least` these; the last scrape is noted.

        Under the names of `METRICS`, None for one that was not told. Not coming in time is for a check to judge.
        Raises NeverCame when nothing answers.
        """
        place = worker.metrics
        assert place is not None, "start this worker metrics=True"
        url = f"http://{worker.process.address}:{place.port}/metrics"
        deadline = time.monotonic() + self.timing.patience_s
        while True:
            asked = time.monotonic()
            text = await_until(f"an answer at {url}", lambda: scraped(url), self.timing.patience_s)
            told = picked(text, self.subject.metrics)
            if all((told[name] or 0) >= wanted for name, wanted in (at_least or {}).items()) or asked > deadline:
                break
            time.sleep(0.05)  # the pace of looking, bounded by the deadline above
        self.note("metrics", worker=worker.node, when=when, told=told, asked=asked, seconds=time.monotonic() - asked)
        return told

    def note_logs(self, *words: str) -> None:
        """Note what each process logged as WARNING or worse, and whatever speaks of an error or has one of `words`."""
        for process in self.processes:
            lines = [
                line
                for line in process.log.read_text(errors="replace").splitlines()
                if any(word in line for word in ("WARNING", "ERROR", "CRITICAL", "Error", *words))
            ]
            self.note("log", log=process.name, lines=lines)

    def note(self, f: str, *, task: Task | None = None, **value: Any) -> Entry:
        """Write down something else that was seen, for a check to judge."""
        return self.history.append(Kind.OBSERVATION, "info", f, task=task.id if task else None, value=value)

    # -- looking -----------------------------------------------------------------------------------------------

    def record(self, task: Task) -> Record | None:
        """The record as it stands; the history keeps it when it changed, and when it was last seen unchanged."""
        now, wall = time.monotonic(), datetime.now(UTC).isoformat()
        record = self.view.record(task.id)
        value = record.as_value() if record else {}
        before = self._seen.get(task.id)
        if before is None or before.value != value:
            subject = self.subject.name
            if before is not None:
                self.history.append(
                    Kind.OBSERVATION, "info", "unchanged", process=subject, task=task.id, at=before.at, wall=before.wall
                )
            self.history.append(Kind.OBSERVATION, "info", "record", process=subject, task=task.id, value=value)
        self._seen[task.id] = _Look(value, now, wall)
        return record

    def audit(self, task: Task) -> list[dict[str, Any]]:
        """The audit trail as it stands; the history keeps it."""
        trail = self.view.audit(task.id)
        self.history.append(
            Kind.OBSERVATION, "info", "audit", process=self.subject.name, task=task.id, value={"trail": trail}
        )
        return trail

    def await_record(
        self, task: Task, wanted: Collection[str] | Callable[[Record], bool], within_s: float | None = None
    ) -> Record | None:
        """Look at the record until it has a wanted status; gives the last one seen, which may be another.

        Not coming in time is not the scenario's failure but the checks' to judge.
        """
        accept = wanted if callable(wanted) else lambda record: record.status in wanted
        deadline = time.monotonic() + (self.timing.patience_s if within_s is None else within_s)
        while True:
            record = self.record(task)
            if (record is not None and accept(record)) or time.monotonic() > deadline:
                return record
            time.sleep(0.01)  # the pace of looking, bounded by the deadline above

    def await_records(self, tasks: Sequence[Task], wanted: Collection[str] | Callable[[Record], bool]) -> None:
        """Look at many records until each is as wanted; all of them together may take as long as one."""
        deadline = time.monotonic() + self.timing.patience_s
        for task in tasks:
            self.await_record(task, wanted, within_s=deadline - time.monotonic())

    def watch(self, tasks: Sequence[Task], for_s: float) -> None:
        """Look at the records for a stretch in which nothing may happen to them."""
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline:
            for task in tasks:
                self.record(task)
            time.sleep(0.02)  # the pace of looking, bounded by the deadline above

    def await_end(self, task: Task, status: str = "SUCCESS") -> Record | None:
        """Wait until an execution has ended, and then for its record. Raises NeverCame."""
        task.await_end()
        return self.await_record(task, {status})

    def await_delivered(self, task: Task, worker: Worker) -> None:
        """Wait until the worker has received the task and the broker holds no message of it. Raises NeverCame."""
        if self.await_log(worker.process, "received", task.id) is None:
            raise NeverCame(f"{worker.node} did not receive {task.id}")

        def gone() -> bool | None:
            with closing(open_redis(self.servers.redis, self.redis_database)) as client:
                waiting = [text for text in client.hvals("unacked") if task.id in text]
            return not waiting or None

        await_until(f"the acknowledgement of {task.id}", gone, self.timing.patience_s)

    def await_truth(self, f: str, *, task: str | None = None, count: int = 1, **value: Any) -> Entry:
        """Wait for an entry of the journal. Raises NeverCame."""

        def look() -> Entry | None:
            self.journal.catch_up()
            found = [
                entry
                for entry in self.history.truth(f, task)
                if all(entry.value.get(name) == wanted for name, wanted in value.items())
            ]
            return found[count - 1] if len(found) >= count else None

        said = ", ".join(f"{name}={wanted}" for name, wanted in value.items())
        return await_until(f"`{f}` {said} of task {task}", look, self.timing.patience_s)

    def left_out_s(self) -> float:
        """How much of their pauses commands with haste have left out so far."""
        self.journal.catch_up()
        return float(sum(entry.value["left_out_s"] for entry in self.history.truth("pause")))

    def await_seen(self, what: str, look: Callable[[], T | None], within_s: float | None = None) -> T:
        """Wait for anything else. Raises NeverCame."""
        return await_until(what, look, self.timing.patience_s if within_s is None else within_s)

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the scenario's database, past the subject."""
        with psycopg.connect(self.database_url, autocommit=True, application_name=OWN_NAME) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def note_sessions(self) -> None:
        """Note what others than the harness hold in the scenario's database.

        Work goes on meanwhile, so a transaction that is under way counts as held only if the bound of a recovery
        does not see its end.
        """

        def look() -> dict[tuple[Any, ...], tuple[bool, int]]:
            rows = self.query(_SESSIONS, f"{OWN_NAME}%")
            return {(pid, began): (idle, locks) for pid, began, idle, locks in rows}

        under_way = {session for session, (idle, locks) in look().items() if idle or locks}
        with suppress(NeverCame):  # what does not end is for the check to judge
            self.await_seen(
                "the end of the transactions under way",
                lambda: not under_way & look().keys(),
                within_s=self.timing.recovery_bound_s,
            )
        now = look()
        held = [now[session] for session in under_way & now.keys()]
        idle, locks = sum(idle for idle, _ in held), sum(locks for _, locks in held)
        self.note("sessions", idle_in_transaction=idle, connections=len(now), locks=locks)

    def note_reads(self) -> None:
        """Note what the database has counted so far: reads of the registry table, and of each of its indexes."""
        table = self.subject.tables["registry"]
        (whole,) = self.query("SELECT seq_scan, seq_tup_read FROM pg_stat_user_tables WHERE relname = %s", table)
        indexes = self.query(
            "SELECT pg_get_indexdef(indexrelid), idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE relname = %s",
            table,
        )
        by_index = {definition: {"scans": scans, "entries": entries} for definition, scans, entries in indexes}
        self.note("reads", scans=whole[0], rows=whole[1], indexes=by_index)

    def note_rows(self) -> None:
        """Note every row of the subject's tables, as JSON; None for a table that is not there."""
        rows = {}
        for table in self.subject.tables.values():
            there = self.query("SELECT to_regclass(%s) IS NOT NULL", table)[0][0]
            found = self.query(_ROWS.format(table=table)) if there else None
            rows[table] = None if found is None else [row for (row,) in found]
        self.note("rows", tables=rows)

    def note_memory(self, process: Process) -> None:
        """Note the most memory that any process of it has ever held."""
        peaks = [0]
        for member in process.members():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                lines = Path(f"/proc/{member.pid}/status").read_text().splitlines()
                peaks += [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
        self.note("memory", process=process.name, peak_bytes=max(peaks))

    def note_stored(self, task: Task) -> None:
        """Note how much the result backend holds of a task, and for how much longer."""
        with closing(open_redis(self.servers.redis, self.redis_database)) as client:
            key = f"celery-task-meta-{task.id}"
            size, left_ms = client.strlen(key), client.pttl(key)
        self.note("stored", task=task, bytes=size, ttl_s=left_ms / 1000 if left_ms >= 0 else None)

    @contextmanager
    def commands_counted(self) -> Iterator[None]:
        """Note which commands the Redis server was given meanwhile, and how long the slowest of each kind took.

        Another client asks it for a sign of life all the time; the longest that it had to wait is noted, too.
        """
        with closing(open_redis(self.servers.redis, self.redis_database)) as client:
            client.config_resetstat()
            with Bystander(open_redis(self.servers.redis, self.redis_database)) as bystander:
                yield
            calls = {name.removeprefix("cmdstat_"): told["calls"] for name, told in client.info("commandstats").items()}
            slowest = slowest_ms(client)
        self.note("commands", calls=calls, slowest_ms=slowest, waited_s=bystander.longest_s, asked=bystander.asked)

    def note_sockets(self, worker: Worker) -> None:
        """Note which sockets to Postgres each process of a worker holds, as the kernel names them."""
        held = {}
        for member in worker.process.members():
            with suppress(psutil.NoSuchProcess, FileNotFoundError):  # it has just ended
                held[str(worker.process.own_pid(member))] = sorted(sockets_to(member, self.servers.postgres.port))
        self.note("sockets", worker=worker.node, held=held)

    def plant(self, task: Task, **values: Any) -> bool:
        """Write a record past the subject; whether the database took it."""
        self.history.append(Kind.OPERATION, "invoke", "plant", task=task.id, value=values)
        try:
            self.view.plant({"task_id": task.id, **values})
        except psycopg.Error as error:
            value = {**values, "error": str(error)}
            self.history.append(Kind.OPERATION, "fail", "plant", task=task.id, value=value)
            return False
        self.history.append(Kind.OPERATION, "ok", "plant", task=task.id, value=values)
        return True

    def reconnect(self) -> None:
        """Look in anew after the servers were restarted."""
        self.view.close()
        self.view = self._open_view()

    # -- faults ------------------------------------------------------------------------------------------------

    def inject(self, fault: Fault, *, await_landing: bool = True) -> Fault:
        """Make the fault happen, and wait for the evidence unless it can only come later."""
        number = len(self._faults)
        self._faults.append(fault)
        value = {"number": number, "target": fault.target}
        self.history.append(Kind.FAULT, "inject", fault.name, value=value)
        fault.inject()
        if await_landing:
            self.await_landing(fault)
        return fault

    def await_landing(self, fault: Fault) -> None:
        """Wait until it is seen to have hit; if that never comes, no verdict will be given."""
        try:
            evidence = await_until(f"the landing of `{fault.name}`", fault.landed, self.timing.patience_s)
        except NeverCame:
            return
        self._note_landing(fault, evidence)

    def _note_landing(self, fault: Fault, evidence: Evidence | None) -> None:
        """Into the history, once for each fault."""
        number = self._faults.index(fault)
        if evidence is None or any(entry.value["number"] == number for entry in self.history.faults("landed")):
            return
        value = {"number": number, "target": fault.target, "evidence": dict(evidence)}
        self.history.append(Kind.FAULT, "landed", fault.name, value=value)

    def heal(self, fault: Fault) -> None:
        """End the fault; what it did is asked for once more first."""
        if fault.healed:
            return
        self._note_landing(fault, fault.landed())
        number = self._faults.index(fault)
        fault.healed = True
        fault.heal()
        self.history.append(Kind.FAULT, "heal", fault.name, value={"number": number, "target": fault.target})

    # -- the end -----------------------------------------------------------------------------------------------

    def judge(self, *checks: Check) -> None:
        """The scenario's last line: raises PromiseBroken or PromiseUnknown unless a pass is certified."""
        self.journal.catch_up()
        for fault in self._faults:
            self._note_landing(fault, fault.landed())
        self.judgement = certify(self.history, checks)
        if pressure := self._pressure.value():
            self.history.append(Kind.OBSERVATION, "info", "machine", value=pressure)  # for who reads it, not for checks
        if self.judgement.verdict is Verdict.FAIL:
            raise PromiseBroken(self.judgement.reason)
        if self.judgement.verdict is not Verdict.PASS:
            raise PromiseUnknown(self.judgement.reason)

    @property
    def defect_was_loaded(self) -> bool:
        """Whether any process of this scenario witnessed that the defect's patch is in it."""
        return any((self.directory / "defect").iterdir())

    def close(self) -> None:
        """Heal every fault and end every process, whatever has happened."""
        for fault in reversed(self._faults):
            try:
                self.heal(fault)
            except Exception as error:  # noqa: BLE001 - the target may be dead already; the rest must be undone too
                self.history.append(
                    Kind.FAULT, "heal", fault.name, value={"error": repr(error), "target": fault.target}
                )
        for process in self.processes:
            process.destroy()
        self._undo.close()

    # -- how processes are made --------------------------------------------------------------------------------

    def _close_view(self) -> None:
        self.view.close()

    def _open_view(self) -> View:
        return self.subject.open_view(self._place(None, self.timing))

    def _links(self, name: str) -> Links:
        host = self._assignment.runtime.proxy_host
        redis = Proxy(f"{name} to Redis", self.servers.redis, host)
        rabbitmq = self.servers.rabbitmq
        broker = redis if rabbitmq is None else Proxy(f"{name} to RabbitMQ", rabbitmq, host)
        links = Links(Proxy(f"{name} to Postgres", self.servers.postgres, host), redis, broker)
        for proxy in {links.postgres, redis, broker}:
            self._undo.callback(proxy.close)
        return links

    def at_hand(self, undo: Callable[[], object]) -> None:
        """Have something undone at the end, whatever happens."""
        self._undo.callback(undo)

    def place(self, **more: Any) -> Place:
        """Where a process finds the servers, without any proxy, and whatever else it has to know."""
        return replace(self._place(None, self.timing), **more)

    @property
    def proxy_host(self) -> str:
        """The address at which the subject's processes reach what listens in the harness."""
        return self._assignment.runtime.proxy_host

    def _place(self, links: Links | None, timing: Timing) -> Place:
        return Place(
            postgres_url(links.postgres if links else self.servers.postgres, self._assignment.database),
            redis_url(links.redis if links else self.servers.redis, self.redis_database),
            self._broker_url(links.broker if links else self.servers.broker),
            timing,
            self.state,
            analysis=self._analysis,
            python=self._assignment.programs.python,
        )

    def _agents_run_by(self) -> dict[str, str]:
        shape = self.subject.agents
        if shape is None:
            return {}
        return {"CELERY_CONFORMANCE_AGENT_RUN": shape.run, "CELERY_CONFORMANCE_AGENT_MEMORY": shape.memory}

    def _written_down(self, label: str, expiry: Expiry) -> Expiry:
        text = self.subject.expiry_file
        assert text is not None, f"{self.subject.name} has no file that says how long results are kept"
        named = replace(expiry, file=self.directory / f"{label}.toml")
        (self.directory / f"{label}.toml").write_text(
            text.format_map(replace(self._place(None, self.timing), expiry=named).words())
        )
        return named

    def _metrics_place(self, label: str) -> MetricsPlace:
        directory = self.directory / f"{label}.metrics"
        directory.mkdir()
        return MetricsPlace(self._assignment.runtime.listen_host, free_port(), directory)

    def _broker_url(self, address: Address) -> str:
        vhost = self._assignment.vhost
        return rabbitmq_url(address, vhost) if vhost else redis_url(address, self.redis_database)

    def _environment(self, life: str, place: Place, extra: Mapping[str, str]) -> dict[str, str]:
        return subject_environment(
            self.subject, place, self.directory, self._assignment.defect, {"CELERY_CONFORMANCE_LIFE": life, **extra}
        )

    def _label(self, name: str) -> str:
        count = sum(process.name.split("#")[0] == name for process in self.processes)
        return f"{name}#{count + 1}" if count else name

    def _start(self, process: P) -> P:
        self.processes.append(process)
        process.start()
        return process

    def _ended(self, process: Process) -> str | None:
        return None if process.running else f"it ended with exit code {process.exit_code}"


def subject_environment(
    subject: Subject, place: Place, directory: Path, defect: Path | None, extra: Mapping[str, str]
) -> dict[str, str]:
    """What a process of the subject is given, beyond what every process has where it runs."""
    paths = [str(_HERE / "workload"), str(Path.cwd())]
    loaded = {}
    if defect is not None:
        paths.insert(0, str(_HERE / "defect_loader"))
        loaded["CELERY_CONFORMANCE_DEFECT"] = str(defect)
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "CELERY_CONFORMANCE_DIRECTORY": str(directory),
        **loaded,
        **subject.environment(place),
        **extra,
    }
