"""The progress of agents' runs, in the Redis that is the application's result backend.

One hash has a field for each task that runs an agent, so whoever cleans up finds what is left without looking through
all keys. An entry names its attempt: a later attempt of the same task writes over it, and is not dropped for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import redis
from celery import Celery
from pydantic import BaseModel, ValidationError
from redis.backoff import NoBackoff
from redis.retry import Retry

from reference_impl.settings import Settings

T = TypeVar("T")

KEY = "celery-tracker-progress"

_SCHEMES = ("redis://", "rediss://", "unix://")
_DROP = """
    local entry = redis.call('HGET', KEYS[1], ARGV[1])
    if entry and string.find(entry, ARGV[2], 1, true) then return redis.call('HDEL', KEYS[1], ARGV[1]) end
    return 0
"""
_DROP_THIS = """
    if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
    return 0
"""


class ProgressAwayError(Exception):
    """The Redis that keeps progress failed, or did not answer in time."""


class _Stored(BaseModel):
    """A field of the hash."""

    agent: str
    attempt_id: UUID | None
    incarnation_id: UUID | None = None
    began: float
    told: dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """The progress of a task's run: `told` is what is shown, `age_s` how long ago the run began, `text` what is stored.

    `incarnation_id` is the worker's that wrote it.
    """

    task_id: str
    agent: str | None
    attempt_id: UUID | None
    incarnation_id: UUID | None
    age_s: float
    told: Mapping[str, Any]
    text: str


class AgentProgress:
    """That of one application. A call waits for `write_timeout_s` at most, and may raise ProgressAwayError."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=settings.write_timeout_s,
            socket_connect_timeout=settings.write_timeout_s,
            retry=Retry(NoBackoff(), 0),
        )

    def now(self) -> float:
        """The server's clock, in seconds since 1970."""
        return self._ask(self._time)

    def put(
        self,
        task_id: str,
        attempt_id: UUID | None,
        incarnation_id: UUID | None,
        agent: str,
        began: float,
        told: Mapping[str, Any],
    ) -> None:
        """Write a run's progress; `began` by the server's clock."""
        stored = _Stored(
            agent=agent, attempt_id=attempt_id, incarnation_id=incarnation_id, began=began, told=dict(told)
        )
        self._ask(lambda client: client.hset(KEY, task_id, stored.model_dump_json()))

    def drop(self, task_id: str, attempt_id: UUID | None) -> bool:
        """Remove what this attempt has written, if it is still there."""
        sought = f'"attempt_id":{json.dumps(attempt_id and str(attempt_id))}'
        return bool(self._ask(lambda client: client.eval(_DROP, 1, KEY, task_id, sought)))

    def drop_entry(self, task_id: str, text: str) -> bool:
        """Remove an entry, if it still is this one, whatever it says."""
        return bool(self._ask(lambda client: client.eval(_DROP_THIS, 1, KEY, task_id, text)))

    def entries(self) -> list[Entry]:
        """All of them: there are as many as agents run, and what was left behind."""
        found = self._ask(lambda client: list(client.hscan_iter(KEY, count=500)))
        now = self.now()
        return [_entry(str(task_id), str(text), now) for task_id, text in found]

    def of(self, task_ids: Collection[str]) -> dict[str, Entry]:
        """Those of these tasks."""
        if not task_ids:
            return {}
        asked = list(task_ids)
        found = zip(asked, self._ask(lambda client: client.hmget(KEY, asked)), strict=True)
        now = self.now()
        return {task_id: _entry(task_id, str(text), now) for task_id, text in found if text is not None}

    def _time(self, client: redis.Redis) -> float:
        seconds, microseconds = client.time()
        return float(seconds) + microseconds / 1e6

    def _ask(self, work: Callable[[redis.Redis], T]) -> T:
        try:
            return work(self._client)
        except (redis.RedisError, OSError) as error:
            raise ProgressAwayError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def open_progress(app: Celery, settings: Settings) -> AgentProgress | None:
    """Where this application's agents keep their progress; None where its result backend is no Redis."""
    url = app.conf.result_backend
    return AgentProgress(url, settings) if isinstance(url, str) and url.startswith(_SCHEMES) else None


def _entry(task_id: str, text: str, now: float) -> Entry:
    """Whatever stands there: what is no entry of ours belongs to no attempt, and is as old as can be."""
    try:
        stored = _Stored.model_validate_json(text)
    except ValidationError:
        return Entry(task_id, None, None, None, now, {}, text)
    age_s = max(0.0, now - stored.began)
    return Entry(task_id, stored.agent, stored.attempt_id, stored.incarnation_id, age_s, stored.told, text)
