"""The system under test: what it can, where its processes find their servers, and what the harness asks of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from harness._sitrep import SitrepShape
from harness._timing import Timing
from harness._view import View

CAPABILITIES = {
    "record": "a task's status can be looked up by its id",
    "publication": "a record exists from the moment of publishing",
    "arguments": "arguments are stored with the record",
    "worker": "the record names the worker",
    "times": "the record tells when it was queued, started and completed",
    "heartbeat": "the record tells when its execution last gave a sign of life",
    "ends": "the record keeps its end",
    "errors": "a failure keeps its type and message",
    "results": "what a task returned is read through Celery's own result classes",
    "result-ttl": "the result backend is Redis, which itself forgets a result in time",
    "sweep-command": "a command sweeps on demand and tells what it found",
    "audit": "transitions leave a trail",
    "registry-table": "records lie in a Postgres table",
    "registration-table": "workers register in a Postgres table",
    "tracking-errors": "tracking can fail apart from the task, and says so in the log",
    "spool": "what it cannot record is kept in a directory, and recorded later",
    "eager": "eager executions are recorded",
    "policies": "what a sweep does is chosen: revoke, redeliver, requeue, report, also by task name",
    "stuck": "a sweep tells which tasks of living workers make no progress",
    "migrations": "commands migrate the schema, one step back too, and compare it with the models",
    "sessions": "it has a session factory that its tasks import",
    "deliveries": "a task whose message is nowhere does not wait for ever",
    "lost-attempts": "a task that takes its process with it too often is given up",
    "metrics": "a worker serves metrics to Prometheus, and a sweep logs how many tasks it closed",
    "api": "statuses and results are served over HTTP, to those who have a token",
    "result-commands": "commands ask the API for statuses and results",
    "result-expiry": "how long results are kept is set in seconds, and what became of a task is known for longer",
    "partial-results": "of a result that cannot be stored as a whole the rest is kept",
    "push": "changes are pushed over WebSockets",
    "python-client": "a program asks the API through a client of the subject's own",
    "progress": "what a task says of its progress is shown",
    "large-results": "a result that is too large for the result backend is kept by reference",
    "scheduled-check": "beat asks for a check every `check_interval_s`; workers of Celery's own queue make it",
    "overruns": "a sweep tells which tasks take longer than they are allowed, and ends them where so configured",
    "rates": "the check command and metrics tell how many tasks succeeded and failed of late",
    "check-command": "a command tells where records, agents, progress and workers disagree",
    "monitor-commands": "commands tell what is executed, what is stuck, how much, and forget what is old",
    "analysis": "analyser services are asked over WebSockets; what they say is kept in a table and in files",
    "sitrep": "an operations view tells how many tasks there are of which kind, and which were executed last",
    "agents": "its tasks run named agents, of whose runs records, rows, progress in Redis and a process's memory tell",
}
RECORDLESS = frozenset({"results"})
"""Capabilities of a subject whose records the harness cannot look at."""
STATUS_FIELDS = (
    "task_id",
    "name",
    "status",
    "ready",
    "successful",
    "progress",
    "error",
    "worker",
    "attempts",
    "queued_at",
    "started_at",
    "completed_at",
    "queue_seconds",
    "run_seconds",
    "result_expires_at",
    "result_state",
)
"""What a status tells, in the harness's words."""
PROGRESS_FIELDS = ("current", "total", "percent", "message", "at")
API_PATHS = (
    "health",
    "status",
    "result",
    "list",
    "cancel",
    "monitor",
    "monitor-many",
    "agents",
    "agent",
    "sitrep",
    "lines",
    "metrics",
    "analyse",
    "analysis",
    "analysis-file",
)
SITREP_METRICS = {
    "answers": "sitreps that were answered",
    "answer_seconds": "how long that took, all together",
    "workers_asked": "how often workers were asked",
    "workers_seconds": "how long that took, all together",
    "workers_failures": "how often they did not answer",
    "registry_failures": "how often the registry did not answer",
    "results_failures": "how often the result backend did not answer",
}
ANALYSIS_COLUMNS = ("task_id", "document", "metadata")
AGENT_COLUMNS = ("name", "is_running", "current_task_id", "current_phase_message", "last_update", "last_error")
METRICS = {
    "tracking_errors": "what could not be recorded, in time or at all",
    "sweeps": "sweeps that were made",
    "sweep_seconds": "how long they took, all together",
    "stale_found": "open tasks found without a living worker",
    "revoked": "those of them that a sweep closed as REVOKED",
    "successes": "ends recorded as SUCCESS",
    "failures": "ends recorded as FAILURE",
    "file_writes": "files of analyses that were written",
    "file_seconds": "how long that took, all together",
    "file_bytes": "how large they are, all together",
    "file_errors": "times that such a file could not be written",
    "checks": "checks of the stores that beat asked for, and that were made",
    "overrunning": "tasks that are executed for longer than they are allowed",
    "recent_successes": "tasks that succeeded within the last minutes",
    "recent_failures": "tasks that failed within the last minutes",
    "success_rate": "the share of these that succeeded",
    "failure_rate": "the share of these that failed",
    "open_pending": "tasks that are PENDING now",
    "open_started": "tasks that are STARTED now",
    "open_retry": "tasks that are RETRY now",
}


@dataclass(frozen=True)
class MetricsPlace:
    """Where a worker serves its metrics, and a directory of its own, empty at its start, for what that takes."""

    host: str
    port: int
    directory: Path


@dataclass(frozen=True)
class ApiPlace:
    """Where an API listens, and who may use it: `token` sees every task, `owner_token` those of `owner` alone."""

    host: str
    port: int
    url: str
    token: str
    owner: str
    owner_token: str


@dataclass(frozen=True)
class ApiShape:
    """A subject's own words for what an API serves.

    `paths` are templates with `{task_id}`, by the names of `API_PATHS`; `fields` are what a status calls each of
    `STATUS_FIELDS`; `reference` is the header that tells the size of a result, `partial` the one that says that it
    is not whole; `owner_header` the message header that says whose a task is; `list_items` what in a list holds its
    statuses; `progress_fields` what a progress calls `current`, `total`, `percent`, `message` and `at`. `sitrep` are
    its words for an operations view, `sitrep_metrics` the names under which that tells Prometheus of itself.
    """

    paths: Mapping[str, str]
    fields: Mapping[str, str]
    headers: Mapping[str, str]
    owner_header: str | None = None
    list_items: str = "tasks"
    progress_fields: Mapping[str, str] = field(default_factory=dict)
    sitrep: SitrepShape | None = None
    sitrep_metrics: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentShape:
    """Where a subject's agents are run, and where it tells of them.

    `run` is the context manager, `package.module:name`, that a task enters with an agent's name: it gives something
    with `phase(message)`, `progress(current, total, message)` and the dictionary `memory`. `memory` gives what an agent
    remembers in the process that asks. `columns` are those of `table`, by the names of `AGENT_COLUMNS`, which an API
    uses too. `progress` is a hash in Redis that has a field for each task that runs an agent.
    """

    run: str
    memory: str
    table: str
    columns: Mapping[str, str]
    progress: str


@dataclass(frozen=True)
class AnalysisPlace:
    """Where analyser services listen (JSON, name to URL), and what becomes of files in `results`.

    `deadline_s` is how long services are heard, `gzip_bytes` the size from which a file is packed, `keep_s` how many
    seconds it is kept.
    """

    services: str
    results: Path
    deadline_s: float = 3.0
    gzip_bytes: int = 100_000
    keep_s: float = 86_400.0


@dataclass(frozen=True)
class AnalysisShape:
    """Where a subject keeps analyses: `table` with the columns `task_id`, `document` and `metadata`, by those names.

    `run` is `package.module:name` of what begins one from code: it is given the application, the target, and
    `analysis_type`, `app_number`, `metadata` and `persist` by name, and gives the task's id. `queue` is where the
    task waits.
    """

    run: str
    table: str
    queue: str = "celery"
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expiry:
    """After how many seconds a result is no longer given, and after how many a task is no longer known.

    `file` is where that is written down, where it is not said by environment variables.
    """

    result_s: float
    known_s: float
    file: Path | None = None


def _prefixed(name: str, given: object | None) -> dict[str, str]:
    return {f"{name}_{part}": str(value) for part, value in vars(given).items()} if given is not None else {}


@dataclass(frozen=True)
class Place:
    """Where one process of the subject finds its servers; the URLs may lead through a proxy.

    `state` is a directory for what its processes leave to one another; nothing is there at first, not even itself.
    `metrics` is given to workers that have to serve them, `api` to an API and to the commands that ask it.
    `expiry` is how long results are kept, and what became of tasks; None is the subject's own choice. `analysis` is
    given to all processes of a scenario that has analyser services. `python` is the interpreter of its environment.
    """

    postgres_url: str
    redis_url: str
    broker_url: str
    timing: Timing
    state: Path
    metrics: MetricsPlace | None = None
    api: ApiPlace | None = None
    expiry: Expiry | None = None
    analysis: AnalysisPlace | None = None
    python: str = sys.executable

    def words(self) -> dict[str, str]:
        """The names that a TOML subject may use in braces; some only where there is such a thing."""
        return {
            **_prefixed("metrics", self.metrics),
            **_prefixed("api", self.api),
            **_prefixed("expiry", self.expiry),
            **_prefixed("analysis", self.analysis),
            "postgres_url": self.postgres_url,
            "redis_url": self.redis_url,
            "broker_url": self.broker_url,
            "state": str(self.state),
            "python": self.python,
            **{name: str(value) for name, value in asdict(self.timing).items()},
        }


class Subject(Protocol):
    """What the harness needs to know of a system under test."""

    @property
    def name(self) -> str:
        """How reports call it."""

    @property
    def app(self) -> str:
        """The Celery application, as in `celery -A`."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can, of `CAPABILITIES`; what it lacks is skipped, by name."""

    @property
    def lacks(self) -> Mapping[str, str]:
        """What to say about a capability that it lacks."""

    @property
    def limits(self) -> Mapping[str, float]:
        """Its bounds: the names are in the documentation of subjects."""

    @property
    def preload(self) -> Sequence[str]:
        """Third-party modules that its processes import anyway: imported once, and forked from. Never its own."""

    @property
    def tables(self) -> Mapping[str, str]:
        """Its tables in Postgres by what they hold: `registry`, `audit`, `registration` of workers, `attempts`."""

    @property
    def sessions(self) -> str | None:
        """Its session factory of SQLAlchemy, `package.module:name`, where it has one."""

    @property
    def metrics(self) -> Mapping[str, str]:
        """What it calls each of `METRICS`, as in `name` or `name{label="value"}`; served at /metrics."""

    @property
    def expiry_file(self) -> str | None:
        """What a file of its configuration says of expiry, with words in braces; None where it reads none."""

    @property
    def api(self) -> ApiShape | None:
        """Its own words for what its API serves, where it has one."""

    @property
    def agents(self) -> AgentShape | None:
        """Where its agents are run and seen, where it has any."""

    @property
    def analysis(self) -> AnalysisShape | None:
        """Where it keeps analyses, where it makes any."""

    def environment(self, place: Place) -> dict[str, str]:
        """Environment variables for every process of the subject."""

    def command(self, name: str, place: Place, **words: str) -> Sequence[str] | None:
        """A command line; None where it has none of that name.

        `prepare`, `step-back`, `compare` and `sweep` are about its registry, `check`, `active-tasks`, `stuck-tasks`,
        `stats` and `clear-old-tasks` about that and its workers, `api` serves, and `get`, `result`,
        `result-within`, `wait`, `wait-within`, `client-status`, `list` and `cancel` ask what is served.
        """

    def open_view(self, place: Place) -> View:
        """The way to look in."""
