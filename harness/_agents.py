"""An agent of the subject, run by a task of the workload, and seen in all places that tell of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import redis
from psycopg import sql
from psycopg.rows import dict_row

from harness._history import Kind
from harness._servers import open_redis
from harness._subject import AgentShape
from harness._surfaces import Api
from harness._view import OWN_NAME

if TYPE_CHECKING:
    from harness._cluster import Cluster, Task

WORKING = "working"
_ASK_S = 2


@dataclass
class Agent:
    """One agent by its name."""

    name: str
    shape: AgentShape
    cluster: Cluster = field(repr=False)
    _seen: dict[str, Any] | None = field(default=None, repr=False)

    def work(self, queue: str, *, task: str = "work_as", error: str | None = None, **how: Any) -> Task:
        """Publish a task that runs it, and wait until it is in the middle of the run; `error` is raised there later."""
        handle = self.cluster.publish(task, self.name, WORKING, error, queue=queue, **how)
        handle.await_mark()
        self.cluster.await_record(handle, {"STARTED"})
        return handle

    def note(self) -> Mapping[str, Any]:
        """Look at its row and at all progress; the history keeps it where it changed.

        `row` has the names of `AGENT_COLUMNS`, `progress` is by task; each is None where it cannot be seen.
        """
        value = {"agent": self.name, "row": self._row(), "progress": self._progress()}
        if value != self._seen:
            self.cluster.history.append(
                Kind.OBSERVATION, "info", "agent", process=self.cluster.subject.name, value=value
            )
        self._seen = value
        return value

    def look_again(self) -> None:
        """Note what is seen now, changed or not."""
        self._seen = None
        self.note()

    def await_row(self, accept: Callable[[Mapping[str, Any]], object], within_s: float | None = None) -> None:
        """Look until its row and the progress are accepted; not coming is for a check to judge."""
        deadline = time.monotonic() + (self.cluster.timing.patience_s if within_s is None else within_s)
        while not accept(self.note()) and time.monotonic() < deadline:
            time.sleep(0.02)  # the pace of looking, bounded by the deadline above
        self.look_again()

    def await_idle(self, within_s: float | None = None) -> None:
        """Look until it is idle, and no progress of any task is left."""
        self.await_row(lambda seen: seen["row"] and not seen["row"]["is_running"] and seen["progress"] == {}, within_s)

    def plant(self, task: Task) -> None:
        """Write past the subject that it runs by this task; its row is that of an earlier run."""
        self.cluster.history.append(Kind.OPERATION, "ok", "plant", task=task.id, value={"agent": self.name})
        column = {ours: sql.Identifier(theirs) for ours, theirs in self.shape.columns.items()}
        statement = sql.SQL("UPDATE {} SET {} = true, {} = %s WHERE {} = %s").format(
            sql.Identifier(self.shape.table), column["is_running"], column["current_task_id"], column["name"]
        )
        with psycopg.connect(self.cluster.database_url, application_name=OWN_NAME) as connection:
            connection.execute(statement, [task.id, self.name])

    def plant_progress(self, task: Task, *, like: Task) -> None:
        """Leave progress of a run by this task, which is that of another task's run."""
        self.cluster.history.append(Kind.OPERATION, "ok", "plant", task=task.id, value={"progress": like.id})
        with closing(open_redis(self.cluster.servers.redis, self.cluster.redis_database)) as client:
            client.hset(self.shape.progress, task.id, str(client.hget(self.shape.progress, like.id)))

    def ask(self, api: Api) -> None:
        """Ask an API what it shows of the agent, and note that."""
        api.ask("agent", agent=self.name)

    def remember(self, queue: str) -> None:
        """Have a child of the worker that consumes this queue journal what the agent remembers there."""
        self.cluster.publish("remember", self.name, queue=queue).await_end()

    @property
    def rows(self) -> sql.Composed:
        """A query that locks its row."""
        return sql.SQL("SELECT 1 FROM {} WHERE {} = {} FOR UPDATE").format(
            sql.Identifier(self.shape.table), sql.Identifier(self.shape.columns["name"]), sql.Literal(self.name)
        )

    def _row(self) -> dict[str, Any] | None:
        columns = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.Identifier(theirs), sql.Identifier(ours))
            for ours, theirs in self.shape.columns.items()
        )
        query = sql.SQL("SELECT {} FROM {} WHERE {} = %s").format(
            columns, sql.Identifier(self.shape.table), sql.Identifier(self.shape.columns["name"])
        )
        try:
            with psycopg.connect(
                self.cluster.database_url, row_factory=dict_row, application_name=OWN_NAME, connect_timeout=_ASK_S
            ) as connection:
                row = connection.execute(query, [self.name]).fetchone()
        except psycopg.OperationalError:
            return None
        return {name: str(value) if name == "last_update" else value for name, value in (row or {}).items()}

    def _progress(self) -> dict[str, Any] | None:
        servers = self.cluster.servers
        try:
            with closing(open_redis(servers.redis, self.cluster.redis_database)) as client:
                return {str(task): json.loads(text) for task, text in client.hgetall(self.shape.progress).items()}
        except (redis.RedisError, OSError):
            return None
