"""A subject that needs no code: described in TOML, and refused where the description is wrong, with the line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import redis

from harness._errors import UsageError, unknown
from harness._sitrep import FIGURES, LINE_FIELDS, REMARKS, WORDS, sitrep_shape
from harness._subject import (
    AGENT_COLUMNS,
    ANALYSIS_COLUMNS,
    API_PATHS,
    CAPABILITIES,
    METRICS,
    PROGRESS_FIELDS,
    RECORDLESS,
    SITREP_METRICS,
    STATUS_FIELDS,
    AgentShape,
    AnalysisPlace,
    AnalysisShape,
    ApiPlace,
    ApiShape,
    Expiry,
    MetricsPlace,
    Place,
)
from harness._timing import Timing
from harness._view import STATUSES, NoView, Record, RegistryView, ResultBackendView, View


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
    own_result_backend: bool = False
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
        pointed = {"CELERY_BROKER_URL": place.broker_url}
        if not self.own_result_backend:
            pointed["CELERY_RESULT_BACKEND"] = place.redis_url
        return {**pointed, **own}

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
        """Its registry table, or Celery's result backend; where it has neither, nothing is looked at."""
        if self.registry is not None:
            return RegistryView(place.postgres_url, self.registry, self.audit)
        if not self.result_backend:
            return NoView()
        return ResultBackendView(redis.Redis.from_url(place.redis_url, decode_responses=True))


class _Mistake(Exception):
    """What is wrong in a description, and under which keys, table by table."""

    def __init__(self, told: object, *where: str) -> None:
        super().__init__(str(told))
        self.where = where


def read_subject(path: Path) -> TomlSubject:
    """Raises UsageError with the line of the first mistake."""
    try:
        text = path.read_text()
        table = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"subject {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"subject {path}: not valid TOML: {error}") from error
    try:
        _known_names(table)
        _known_placeholders(table)
    except _Mistake as mistake:
        line = line_of(text, mistake.where)
        place = f"{path}, line {line}" if line else str(path)
        raise UsageError(f"subject {place}: {mistake}") from mistake
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
        own_result_backend=table.get("own_result_backend", False),
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
        expiry_variables=table.get("expiry", {"environment": _CELERYS_OWN_EXPIRY}).get("environment", {}),
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


_CELERYS_OWN_EXPIRY = {"CELERY_CONFORMANCE_RESULT_EXPIRES": "{expiry_result_s}"}
"""Read by the workload, for what has no words of its own for that."""
_COLUMNS = {
    "registry": frozenset(field.name for field in fields(Record)),
    "audit": frozenset({"task_id", "from_status", "to_status", "refused", "at", "who", "why"}),
}
_TABLE_KEYS = {"registry": ("table", "columns", "statuses", "json"), "audit": ("table", "columns", "order")}
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
    "own_result_backend": bool,
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


def _known_names(table: Mapping[str, Any]) -> None:
    _known_keys("", table, _KEYS)
    for section, kinds in _SECTIONS.items():
        inside: Mapping[str, Any] = table
        for part in section.split("."):
            inside = inside.get(part, {})
        _known_keys(section, inside, kinds)
    for key in ("name", "app", "capabilities"):
        if key not in table:
            raise _Mistake(f"{key} is missing")
    for capability in table["capabilities"]:
        if capability not in CAPABILITIES:
            raise _Mistake(f"{unknown('capability', str(capability), CAPABILITIES)}", "capabilities")
    for capability in table.get("lacks", {}):
        if capability not in CAPABILITIES:
            raise _Mistake(f"[lacks]: {unknown('capability', capability, CAPABILITIES)}", "lacks", capability)
    _known_commands(table)
    _known_tables(table)
    _known_metrics(table)
    _known_api(table)
    _known_sitrep(table)
    _known_agents(table)
    _known_analysis(table)


def _known_keys(inside: str, section: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    for key, value in section.items():
        if key not in kinds:
            within = f"{inside}: " if inside else ""
            raise _Mistake(f"{within}{unknown('key', key, kinds)}", *filter(None, inside.split(".")), key)
        if not isinstance(value, kinds[key]):
            full = f"{inside}.{key}" if inside else key
            raise _Mistake(f"{full}: expected {kinds[key].__name__}, got {value!r}", *full.split("."))


def _known_commands(table: Mapping[str, Any]) -> None:
    for name, command in table.get("commands", {}).items():
        if not (isinstance(command, list) and all(isinstance(part, str) for part in command)):
            raise _Mistake(f"commands.{name}: expected a list of words, got {command!r}", "commands", name)


def _known_tables(table: Mapping[str, Any]) -> None:
    for key in ("registry", "audit"):
        if key in table:
            _known_table(key, table[key])
    if "registry" not in table and not table.get("result_backend"):
        for capability in table["capabilities"]:
            if capability not in RECORDLESS:
                needed = "a [registry] is needed, or result_backend = true, to look at its records"
                raise _Mistake(f'capability "{capability}": {needed}', "capabilities")


def _known_table(key: str, section: Mapping[str, Any]) -> None:
    if not (isinstance(section.get("table"), str) and "task_id" in section.get("columns", {})):
        raise _Mistake(f"[{key}] needs a table, and [{key}.columns] a column for task_id", key)
    for name in section:
        if name not in _TABLE_KEYS[key]:
            raise _Mistake(f"[{key}]: {unknown('key', name, _TABLE_KEYS[key])}", key, name)
    for name in section.get("json", []):
        if name not in _COLUMNS[key]:
            raise _Mistake(f"[{key}]: json: {unknown('column', str(name), _COLUMNS[key])}", key, "json")
    for word, status in section.get("statuses", {}).items():
        if status not in STATUSES:
            raise _Mistake(f"[{key}.statuses]: {unknown('status', str(status), STATUSES)}", key, "statuses", word)
    for column in section["columns"]:
        if column not in _COLUMNS[key]:
            raise _Mistake(f"[{key}.columns]: {unknown('column', column, _COLUMNS[key])}", key, "columns", column)


def _known_metrics(table: Mapping[str, Any]) -> None:
    section = table.get("metrics", {})
    for name in section.get("names", {}):
        if name not in METRICS:
            raise _Mistake(f"[metrics.names]: {unknown('metric', name, METRICS)}", "metrics", "names", name)
    needed = {name for name in METRICS if "analysis" in table["capabilities"] or not name.startswith("file_")}
    if "metrics" in table["capabilities"] and (missing := needed - section.get("names", {}).keys()):
        raise _Mistake(
            f"[metrics.names]: the capability metrics needs {', '.join(sorted(missing))}", "metrics", "names"
        )


def _known_api(table: Mapping[str, Any]) -> None:
    if "api" not in table:
        if "api" in table["capabilities"]:
            raise _Mistake("the capability api needs a table [api.paths]", "capabilities")
        return
    if "api" not in table.get("commands", {}):
        raise _Mistake("[api] needs commands.api, which serves it", "api")
    section = table["api"]
    for part, names in (
        ("paths", API_PATHS),
        ("fields", STATUS_FIELDS),
        ("progress_fields", PROGRESS_FIELDS),
        ("headers", _API_HEADERS),
    ):
        for name in section.get(part, {}):
            if name not in names:
                raise _Mistake(f"[api.{part}]: {unknown(part[:-1], name, names)}", "api", part, name)
    if missing := {"health", "status", "result"} - section.get("paths", {}).keys():
        raise _Mistake(f"[api.paths] lacks {', '.join(sorted(missing))}", "api", "paths")


def _known_sitrep(table: Mapping[str, Any]) -> None:
    section = table.get("api", {})
    if "sitrep" in table["capabilities"]:
        if missing := {"sitrep", "lines", "metrics"} - section.get("paths", {}).keys():
            raise _Mistake(f"the capability sitrep needs [api.paths] {', '.join(sorted(missing))}", "api", "paths")
        if missing := set(REMARKS) - section.get("sitrep", {}).get("remarks", {}).keys():
            raise _Mistake(f"the capability sitrep needs [api.sitrep.remarks] {min(missing)}", "api", "sitrep")
    for part, known in (("figures", FIGURES), ("remarks", REMARKS), ("line", LINE_FIELDS), ("words", WORDS)):
        for name in section.get("sitrep", {}).get(part, {}):
            if name not in known:
                raise _Mistake(f"[api.sitrep.{part}]: {unknown('name', name, known)}", "api", "sitrep", part, name)
    for name in section.get("sitrep_metrics", {}):
        if name not in SITREP_METRICS:
            raise _Mistake(
                f"[api.sitrep_metrics]: {unknown('metric', name, SITREP_METRICS)}", "api", "sitrep_metrics", name
            )


def _known_agents(table: Mapping[str, Any]) -> None:
    section = table.get("agents")
    if section is None:
        if "agents" in table["capabilities"]:
            raise _Mistake("the capability agents needs a table [agents]", "capabilities")
        return
    if missing := {"run", "memory", "table", "progress"} - section.keys():
        raise _Mistake(f"[agents] lacks {', '.join(sorted(missing))}", "agents")
    for name in section.get("columns", {}):
        if name not in AGENT_COLUMNS:
            raise _Mistake(f"[agents.columns]: {unknown('column', name, AGENT_COLUMNS)}", "agents", "columns", name)


def _known_analysis(table: Mapping[str, Any]) -> None:
    section = table.get("analysis", {})
    if "analysis" in table["capabilities"]:
        if missing := {"run", "table"} - section.keys():
            raise _Mistake(f"the capability analysis needs {min(missing)} in [analysis]", "analysis")
        if missing := {"analyse", "analysis", "analysis-file"} - table.get("api", {}).get("paths", {}).keys():
            raise _Mistake(f"the capability analysis needs {min(missing)} in [api.paths]", "api", "paths")
    for name in section.get("columns", {}):
        if name not in ANALYSIS_COLUMNS:
            raise _Mistake(
                f"[analysis.columns]: {unknown('column', name, ANALYSIS_COLUMNS)}", "analysis", "columns", name
            )


def _known_placeholders(table: Mapping[str, Any]) -> None:
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
                told = f"{where}: {unknown('placeholder', str(error.args[0]), words)}"
                raise _Mistake(told, *where.split(".")) from error
            except (ValueError, AttributeError, IndexError) as error:
                raise _Mistake(f"{where}: {part!r} is no text with placeholders: {error}", *where.split(".")) from error


def line_of(text: str, where: Sequence[str]) -> int | None:
    """The line at which a key stands, or at which the nearest table around it begins; None where there is neither."""
    found: int | None = None
    depth = 0
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]\s*(#.*)?$", line):
            table = _parts(header[1])
            keys = table
        elif pair := re.match(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""", line):
            keys = [*table, *_parts(pair[1])]
        else:
            continue
        common = min(len(keys), len(where))
        if common > depth and keys[:common] == list(where[:common]):
            found, depth = number, common
    return found


def _parts(dotted: str) -> list[str]:
    return [part.strip(" \"'") for part in dotted.split(".")]
