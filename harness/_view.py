"""Looking into a subject from outside, without its help: its records and its audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

import psycopg
import redis
from psycopg import sql
from psycopg.rows import dict_row

STATUSES = ("PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED")
"""Celery's own; whatever a registry calls them, records have these."""
OWN_NAME = "celery-conformance"
"""How the harness's own connections are told from the subject's."""


@dataclass(frozen=True)
class Record:
    """A task as the subject's own store shows it. What a subject does not keep is None."""

    task_id: str
    status: str
    name: str | None = None
    agent: str | None = None
    detail: str | None = None
    worker_id: str | None = None
    worker_pid: int | None = None
    args: Any = None
    kwargs: Any = None
    result: Any = None
    attempts: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    reason: str | None = None
    ended_by: str | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    last_heartbeat: datetime | None = None

    def as_value(self) -> dict[str, Any]:
        """For the history: times as ISO text, with their zone where they have one."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
            if value is not None
        }


class View(Protocol):
    """What every subject lets the harness see; a capability it lacks makes the call unnecessary."""

    def record(self, task_id: str) -> Record | None:
        """The task's record; None where there is none."""

    def audit(self, task_id: str) -> list[dict[str, Any]]:
        """The task's transitions, oldest first: from_status, to_status, refused, at, who, why."""

    def plant(self, values: Mapping[str, Any]) -> None:
        """Write a record past the subject, as a foreign or older process would."""

    def close(self) -> None:
        """Let go of connections."""


class RegistryView:
    """A registry table in Postgres, by its table and column names, and its own words for statuses where it has any.

    Fields that it names in `json` are texts there, and JSON; `column.key` is a part of such a text.
    """

    def __init__(self, url: str, registry: Mapping[str, Any], audit: Mapping[str, Any] | None) -> None:
        self._connection = psycopg.connect(
            url, autocommit=True, row_factory=dict_row, options="-c timezone=UTC", application_name=OWN_NAME
        )
        self._registry = registry
        self._as_json = frozenset(registry.get("json", ()))
        self._statuses: Mapping[str, str] = registry.get("statuses", {})
        self._audit = audit

    def record(self, task_id: str) -> Record | None:
        """The task's row."""
        row = self._connection.execute(_select(self._registry), [task_id]).fetchone()
        if row is None:
            return None
        read = {name: _decoded(value) for name, value in row.items() if name in self._as_json}
        for name, column in self._registry["columns"].items():
            _, inside, key = column.partition(".")
            if inside:
                found = _decoded(row[name])
                read[name] = found.get(key) if isinstance(found, dict) else None
        words = {"task_id": task_id, "status": "", **row, **read}
        return Record(**{**words, "status": self._statuses.get(words["status"], words["status"])})

    def audit(self, task_id: str) -> list[dict[str, Any]]:
        """The task's rows in the audit table."""
        if self._audit is None:
            return []
        rows = self._connection.execute(_select(self._audit), [task_id]).fetchall()
        return [{**row, "at": row["at"].isoformat()} for row in rows]

    def plant(self, values: Mapping[str, Any]) -> None:
        """Insert a row. Raises psycopg.Error when the database refuses it."""
        columns = self._registry["columns"]
        own = {status: word for word, status in self._statuses.items()}
        values = {name: own.get(value, value) if name == "status" else value for name, value in values.items()}
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(self._registry["table"]),
            sql.SQL(", ").join(sql.Identifier(columns[name]) for name in values),
            sql.SQL(", ").join(sql.Placeholder() for _ in values),
        )
        self._connection.execute(statement, list(values.values()))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class ResultBackendView:
    """Celery's own result backend in Redis, read as stored."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def record(self, task_id: str) -> Record | None:
        """The task's entry, where one is stored."""
        text = self._client.get(f"celery-task-meta-{task_id}")
        if text is None:
            return None
        meta = json.loads(text)
        failed = meta["status"] in {"FAILURE", "RETRY"}
        result = meta.get("result") or {}
        return Record(
            task_id=task_id,
            status=meta["status"],
            name=meta.get("name"),
            worker_id=meta.get("worker"),
            result=None if failed else result,
            error_type=result.get("exc_type") if failed else None,
            error_message=str(result.get("exc_message")) if failed else None,
            completed_at=_moment(meta.get("date_done")),
        )

    def audit(self, task_id: str) -> list[dict[str, Any]]:  # noqa: ARG002 - the protocol's signature
        """Celery keeps none."""
        return []

    def plant(self, values: Mapping[str, Any]) -> None:
        """Nothing can be planted here."""
        raise NotImplementedError("the result backend has no registry table")

    def close(self) -> None:
        """Close the client."""
        with closing(self._client):
            return


class NoView:
    """For a subject whose records lie where the harness cannot look."""

    def record(self, task_id: str) -> Record | None:  # noqa: ARG002 - the protocol's signature
        """There is none to be seen."""
        return None

    def audit(self, task_id: str) -> list[dict[str, Any]]:  # noqa: ARG002 - the protocol's signature
        """There is none to be seen."""
        return []

    def plant(self, values: Mapping[str, Any]) -> None:
        """Nothing can be planted."""
        raise NotImplementedError("the subject has no registry table")

    def close(self) -> None:
        """Nothing is open."""


def _decoded(text: object) -> object:
    """What JSON says; a text that is none stays one."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _select(table: Mapping[str, Any]) -> sql.Composed:
    columns = table["columns"]
    named = [
        sql.SQL("{} AS {}").format(sql.Identifier(there.partition(".")[0]), sql.Identifier(here))
        for here, there in columns.items()
    ]
    order = sql.SQL(" ORDER BY {}").format(sql.Identifier(table["order"])) if "order" in table else sql.SQL("")
    return sql.SQL("SELECT {} FROM {} WHERE {} = %s{}").format(
        sql.SQL(", ").join(named), sql.Identifier(table["table"]), sql.Identifier(columns["task_id"]), order
    )


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
