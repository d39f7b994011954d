"""The system under test, chosen by a string.

`reference` and `bare-celery` are TOML files of this package; `path/to/subject.toml` is one of the user's;
`package.module:app` is a Celery application as it is, and `package.module:Class` a class that satisfies `Subject` by
shape.
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, cast

import redis

from harness._application import Looked, look, refuse_unsuitable
from harness._errors import UsageError, unknown
from harness._sitrep import FIGURES, LINE_FIELDS, REMARKS, WORDS, SitrepShape, sitrep_shape
from harness._timing import Timing
from harness._view import Record, RegistryView, ResultBackendView, View

CAPABILITIES = {
    "record": "a task's status can be looked up by its id",
    "publication": "a record exists from the moment of publishing",
    "arguments": "arguments are stored with the record",
    "worker": "the record names the worker",
    "times": "the record tells when it was queued, started and completed",
    "heartbeat": "the record tells when its execution last gave a sign of life",
    "ends": "the record keeps its end",
    "errors": "a failure keeps its type and message",
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


@dataclass(frozen=True)
class TomlSubject:
    """A subject that needs no code."""

    name: str
    app: str
    capabilities: frozenset[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    registry: Mapping[str, Any] | None = None
    audit: Mapping[str, Any] | None = None
    result_backend: bool = False
    registration: str | None = None
    attempts: str | None = None
    sessions: str | None = None
    preload: Sequence[str] = ()
    metrics: Mapping[str, str] = field(default_factory=dict)
    metrics_variables: Mapping[str, str] = field(default_factory=dict)
    api: ApiShape | None = None
    api_variables: Mapping[str, str] = field(default_factory=dict)
    expiry_file: str | None = None
    expiry_variables: Mapping[str, str] = field(default_factory=dict)
    expiry_file_variables: Mapping[str, str] = field(default_factory=dict)
    agents: AgentShape | None = None
    analysis: AnalysisShape | None = None
    analysis_variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def tables(self) -> Mapping[str, str]:
        """Those that its file names."""
        named = {
            "registry": self.registry["table"] if self.registry else None,
            "audit": self.audit["table"] if self.audit else None,
            "registration": self.registration,
            "attempts": self.attempts,
        }
        return {role: name for role, name in named.items() if name is not None}

    def environment(self, place: Place) -> dict[str, str]:
        """Its own variables, beside those by which Celery itself is told its broker and backend."""
        words = {**place.words(), "app": self.app}
        variables = {
            **self.variables,
            **(self.metrics_variables if place.metrics else {}),
            **(self.api_variables if place.api else {}),
            **self._expiry_variables(place),
            **(self.analysis_variables if place.analysis else {}),
        }
        own = {name: value.format_map(words) for name, value in variables.items()}
        return {"CELERY_BROKER_URL": place.broker_url, "CELERY_RESULT_BACKEND": place.redis_url, **own}

    def _expiry_variables(self, place: Place) -> Mapping[str, str]:
        if place.expiry is None:
            return {}
        return self.expiry_variables if place.expiry.file is None else self.expiry_file_variables

    def command(self, name: str, place: Place, **words: str) -> Sequence[str] | None:
        """The command with its words filled in."""
        if name not in self.commands:
            return None
        known = {**place.words(), "app": self.app, **words}
        return [part.format_map(known) for part in self.commands[name]]

    def open_view(self, place: Place) -> View:
        """Its registry table, or Celery's result backend."""
        if self.registry is not None:
            return RegistryView(place.postgres_url, self.registry, self.audit)
        return ResultBackendView(redis.Redis.from_url(place.redis_url, decode_responses=True))


def load_subject(given: str, python: str = sys.executable) -> Subject:
    """Raises UsageError when it does not exist or does not load; `python` is the interpreter of its environment."""
    if given.endswith(".toml"):
        return _from_toml(Path(given))
    if ":" in given:
        try:
            found = look(given, python)
        except UsageError:
            if _is_here(given):
                return _from_class(given)
            raise
        return _from_application(found) if found.kind == "application" else _from_class(given)
    built_in = {path.stem: path for path in (Path(__file__).parent / "subjects").glob("*.toml")}
    if given not in built_in:
        raise UsageError(f"{unknown('subject', given, built_in)}; or package.module:app, or a path ending in .toml")
    return _from_toml(built_in[given])


def _from_toml(path: Path) -> TomlSubject:
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"subject {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"subject {path}: not valid TOML: {error}") from error
    _known_names(path, table)
    _known_placeholders(path, table)
    return TomlSubject(
        name=table["name"],
        app=table["app"],
        capabilities=frozenset(table["capabilities"]),
        variables=table.get("environment", {}),
        commands=table.get("commands", {}),
        limits=table.get("limits", {}),
        lacks=table.get("lacks", {}),
        registry=table.get("registry"),
        audit=table.get("audit"),
        result_backend=table.get("result_backend", False),
        registration=table.get("registration"),
        attempts=table.get("attempts"),
        sessions=table.get("sessions"),
        preload=table.get("preload", ()),
        metrics=table.get("metrics", {}).get("names", {}),
        metrics_variables=table.get("metrics", {}).get("environment", {}),
        api=_api(table.get("api")),
        api_variables=table.get("api", {}).get("environment", {}),
        analysis=_analysis(table.get("analysis")),
        analysis_variables=table.get("analysis", {}).get("environment", {}),
        expiry_file=table.get("expiry", {}).get("file"),
        expiry_variables=table.get("expiry", {}).get("environment", {}),
        expiry_file_variables=table.get("expiry", {}).get("file_environment", {}),
        agents=_agents(table.get("agents")),
    )


def _agents(section: Mapping[str, Any] | None) -> AgentShape | None:
    if section is None:
        return None
    columns = {name: name for name in AGENT_COLUMNS} | section.get("columns", {})
    return AgentShape(section["run"], section["memory"], section["table"], columns, section["progress"])


def _api(section: Mapping[str, Any] | None) -> ApiShape | None:
    if section is None:
        return None
    fields = {name: name for name in STATUS_FIELDS} | section.get("fields", {})
    return ApiShape(
        section["paths"],
        fields,
        section.get("headers", {}),
        section.get("owner_header"),
        section.get("list_items", "tasks"),
        {name: name for name in PROGRESS_FIELDS} | section.get("progress_fields", {}),
        sitrep_shape(section["sitrep"]) if "sitrep" in section else None,
        section.get("sitrep_metrics", {}),
    )


def _analysis(section: Mapping[str, Any] | None) -> AnalysisShape | None:
    if section is None or "run" not in section:
        return None
    columns = {name: name for name in ANALYSIS_COLUMNS} | section.get("columns", {})
    return AnalysisShape(section["run"], section.get("table", ""), section.get("queue", "celery"), columns)


_COLUMNS = {
    "registry": frozenset(field.name for field in fields(Record)),
    "audit": frozenset({"task_id", "from_status", "to_status", "refused", "at", "who", "why"}),
}
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
_KEYS: dict[str, type] = {
    "name": str,
    "app": str,
    "capabilities": list,
    "environment": dict,
    "commands": dict,
    "limits": dict,
    "lacks": dict,
    "registry": dict,
    "audit": dict,
    "result_backend": bool,
    "registration": str,
    "attempts": str,
    "sessions": str,
    "preload": list,
    "metrics": dict,
    "api": dict,
    "expiry": dict,
    "agents": dict,
    "analysis": dict,
}
_SECTIONS: dict[str, dict[str, type]] = {
    "metrics": {"names": dict, "environment": dict},
    "api": {
        "paths": dict,
        "fields": dict,
        "progress_fields": dict,
        "headers": dict,
        "owner_header": str,
        "list_items": str,
        "sitrep": dict,
        "sitrep_metrics": dict,
        "environment": dict,
    },
    "api.sitrep": {
        "figures": dict,
        "remarks": dict,
        "line": dict,
        "words": dict,
        "recent": str,
        "items": str,
        "next": str,
    },
    "expiry": {"file": str, "environment": dict, "file_environment": dict},
    "agents": {"run": str, "memory": str, "table": str, "columns": dict, "progress": str},
    "analysis": {"run": str, "table": str, "queue": str, "columns": dict, "environment": dict},
}
_API_HEADERS = ("size", "partial")
_ASKING = ("get", "result", "result-within", "wait", "wait-within", "cancel", "client-status")
"""Commands about one task."""


def _known_names(path: Path, table: Mapping[str, Any]) -> None:
    _known_keys(path, "", table, _KEYS)
    for section, kinds in _SECTIONS.items():
        inside: Mapping[str, Any] = table
        for part in section.split("."):
            inside = inside.get(part, {})
        _known_keys(path, section, inside, kinds)
    for key in ("name", "app", "capabilities"):
        if key not in table:
            raise UsageError(f"subject {path}: {key} is missing")
    for capability in table["capabilities"]:
        if capability not in CAPABILITIES:
            raise UsageError(f"subject {path}: {unknown('capability', str(capability), CAPABILITIES)}")
    for capability in table.get("lacks", {}):
        if capability not in CAPABILITIES:
            raise UsageError(f"subject {path}: [lacks]: {unknown('capability', capability, CAPABILITIES)}")
    _known_commands(path, table)
    _known_tables(path, table)
    _known_metrics(path, table)
    _known_api(path, table)
    _known_sitrep(path, table)
    _known_agents(path, table)
    _known_analysis(path, table)


def _known_keys(path: Path, inside: str, section: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    for key, value in section.items():
        if key not in kinds:
            within = f"{inside}: " if inside else ""
            raise UsageError(f"subject {path}: {within}{unknown('key', key, kinds)}")
        if not isinstance(value, kinds[key]):
            full = f"{inside}.{key}" if inside else key
            raise UsageError(f"subject {path}: {full}: expected {kinds[key].__name__}, got {value!r}")


def _known_commands(path: Path, table: Mapping[str, Any]) -> None:
    for name, command in table.get("commands", {}).items():
        if not (isinstance(command, list) and all(isinstance(part, str) for part in command)):
            raise UsageError(f"subject {path}: commands.{name}: expected a list of words, got {command!r}")


def _known_tables(path: Path, table: Mapping[str, Any]) -> None:
    for key in ("registry", "audit"):
        section = table.get(key)
        if section is not None and not (
            isinstance(section.get("table"), str) and "task_id" in section.get("columns", {})
        ):
            raise UsageError(f"subject {path}: [{key}] needs a table, and [{key}.columns] a column for task_id")
        for column in (section or {}).get("columns", {}):
            if column not in _COLUMNS[key]:
                raise UsageError(f"subject {path}: [{key}.columns]: {unknown('column', column, _COLUMNS[key])}")
    if "registry" not in table and not table.get("result_backend"):
        raise UsageError(f"subject {path}: a [registry] is needed, or result_backend = true, to look at its records")


def _known_metrics(path: Path, table: Mapping[str, Any]) -> None:
    section = table.get("metrics", {})
    for name in section.get("names", {}):
        if name not in METRICS:
            raise UsageError(f"subject {path}: [metrics.names]: {unknown('metric', name, METRICS)}")
    needed = {name for name in METRICS if "analysis" in table["capabilities"] or not name.startswith("file_")}
    if "metrics" in table["capabilities"] and (missing := needed - section.get("names", {}).keys()):
        raise UsageError(f"subject {path}: [metrics.names]: the capability metrics needs {', '.join(sorted(missing))}")


def _known_api(path: Path, table: Mapping[str, Any]) -> None:
    if "api" not in table:
        if "api" in table["capabilities"]:
            raise UsageError(f"subject {path}: the capability api needs a table [api.paths]")
        return
    if "api" not in table.get("commands", {}):
        raise UsageError(f"subject {path}: [api] needs commands.api, which serves it")
    section = table["api"]
    for part, names in (
        ("paths", API_PATHS),
        ("fields", STATUS_FIELDS),
        ("progress_fields", PROGRESS_FIELDS),
        ("headers", _API_HEADERS),
    ):
        for name in section.get(part, {}):
            if name not in names:
                raise UsageError(f"subject {path}: [api.{part}]: {unknown(part[:-1], name, names)}")
    if missing := {"health", "status", "result"} - section.get("paths", {}).keys():
        raise UsageError(f"subject {path}: [api.paths] lacks {', '.join(sorted(missing))}")


def _known_sitrep(path: Path, table: Mapping[str, Any]) -> None:
    section = table.get("api", {})
    if "sitrep" in table["capabilities"]:
        if missing := {"sitrep", "lines", "metrics"} - section.get("paths", {}).keys():
            raise UsageError(f"subject {path}: the capability sitrep needs [api.paths] {', '.join(sorted(missing))}")
        if missing := set(REMARKS) - section.get("sitrep", {}).get("remarks", {}).keys():
            raise UsageError(f"subject {path}: the capability sitrep needs [api.sitrep.remarks] {min(missing)}")
    for part, known in (("figures", FIGURES), ("remarks", REMARKS), ("line", LINE_FIELDS), ("words", WORDS)):
        for name in section.get("sitrep", {}).get(part, {}):
            if name not in known:
                raise UsageError(f"subject {path}: [api.sitrep.{part}]: {unknown('name', name, known)}")
    for name in section.get("sitrep_metrics", {}):
        if name not in SITREP_METRICS:
            raise UsageError(f"subject {path}: [api.sitrep_metrics]: {unknown('metric', name, SITREP_METRICS)}")


def _known_agents(path: Path, table: Mapping[str, Any]) -> None:
    section = table.get("agents")
    if section is None:
        if "agents" in table["capabilities"]:
            raise UsageError(f"subject {path}: the capability agents needs a table [agents]")
        return
    if missing := {"run", "memory", "table", "progress"} - section.keys():
        raise UsageError(f"subject {path}: [agents] lacks {', '.join(sorted(missing))}")
    for name in section.get("columns", {}):
        if name not in AGENT_COLUMNS:
            raise UsageError(f"subject {path}: [agents.columns]: {unknown('column', name, AGENT_COLUMNS)}")


def _known_analysis(path: Path, table: Mapping[str, Any]) -> None:
    section = table.get("analysis", {})
    if "analysis" in table["capabilities"]:
        if missing := {"run", "table"} - section.keys():
            raise UsageError(f"subject {path}: the capability analysis needs {min(missing)} in [analysis]")
        if missing := {"analyse", "analysis", "analysis-file"} - table.get("api", {}).get("paths", {}).keys():
            raise UsageError(f"subject {path}: the capability analysis needs {min(missing)} in [api.paths]")
    for name in section.get("columns", {}):
        if name not in ANALYSIS_COLUMNS:
            raise UsageError(f"subject {path}: [analysis.columns]: {unknown('column', name, ANALYSIS_COLUMNS)}")


def _known_placeholders(path: Path, table: Mapping[str, Any]) -> None:
    metrics = {f"metrics_{each.name}": "" for each in fields(MetricsPlace)}
    api = {f"api_{each.name}": "" for each in fields(ApiPlace)}
    expiry = {f"expiry_{each.name}": "" for each in fields(Expiry)}
    analysis = {f"analysis_{each.name}": "" for each in fields(AnalysisPlace)}
    asking = api | {"task_id": "", "timeout_s": ""}
    common = {**Place("", "", "", Timing(), Path()).words(), "app": ""}
    texts = {f"commands.{name}": value for name, value in table.get("commands", {}).items()}
    expiry_file = table.get("expiry", {}).get("file")
    texts |= {"expiry.file": [expiry_file]} if expiry_file is not None else {}
    for section, part in (
        (table, "environment"),
        *((table.get(name, {}), f"{name}.environment") for name in _SECTIONS),
        (table.get("expiry", {}), "expiry.file_environment"),
    ):
        given = section.get(part.rpartition(".")[2], {})
        texts |= {f"{part}.{name}": [value] for name, value in given.items()}
    for where, parts in texts.items():
        words = common | (metrics if where.startswith("metrics.") else {})
        words |= (
            api if where.startswith("api.") or where in {"commands.api", "commands.list", "commands.analyse"} else {}
        )
        words |= expiry if where.startswith("expiry.") else {}
        words |= analysis if where.startswith("analysis.") else {}
        words |= asking if where.removeprefix("commands.") in _ASKING else {}
        for part in parts:
            try:
                part.format_map(words)
            except KeyError as error:
                raise UsageError(
                    f"subject {path}: {where}: {unknown('placeholder', str(error.args[0]), words)}"
                ) from error
            except (ValueError, AttributeError, IndexError) as error:
                raise UsageError(f"subject {path}: {where}: {part!r} is no text with placeholders: {error}") from error


def _from_application(found: Looked) -> TomlSubject:
    """Whatever Celery itself promises, as far as this application's settings let it."""
    refuse_unsuitable(found)
    bare = _from_toml(Path(__file__).parent / "subjects" / "bare-celery.toml")
    lacks = dict(bare.lacks)
    if found.settings.get("task_ignore_result"):
        lacks |= dict.fromkeys(("record", "ends", "errors", "worker"), "task_ignore_result is set: nothing is stored")
    elif not found.settings.get("task_track_started"):
        lacks["record"] = "task_track_started is off: a task that is executed is PENDING to whoever asks; set it"
    if not found.settings.get("result_extended"):
        lacks["worker"] = "result_extended is off: the result backend is not told which worker executed a task; set it"
    return replace(bare, name=found.place, app=found.place, capabilities=bare.capabilities - lacks.keys(), lacks=lacks)


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
