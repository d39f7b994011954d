"""Results that the tracker does not report itself: noted as they are stored, and adopted into the registry later.

A result may be stored for a task that nobody tracks: by hand, by a process of another make, or by Celery for the rest
of a chain that is broken off. Each of them is noted in a Redis stream beside the results, so that whoever looks for
them need not walk through all keys. Who gathers reads the notes, a bounded batch at a time, and makes a record of each
that has ended and has none.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import redis
from celery import Celery, states
from celery.backends.redis import RedisBackend
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Connection, Engine, text

from reference_impl.lifecycle import ENDED
from reference_impl.masking import masked
from reference_impl.settings import Settings
from reference_impl.shown import error_in, is_state, moment_of
from reference_impl.storable import is_task_id, readable, storable

logger = logging.getLogger(__name__)

NOTES = "celery-tracker-results"
READ = "celery-tracker-results-read"
"""A hash of counts, beside the stream, of what became of the notes that were read."""
OUTCOMES = ("adopted", "known", "unfinished", "malformed", "gone")
STORER = "the result backend"

_BATCH = 250
_FETCH_BYTES = 4 << 20
_VALUE_BYTES_MAX = 1 << 20
_TOLD_MAX = 10
_LOCK = 0x7E5017
_ANSWER_S = 1.0
_HEAD_BYTES = 100
_HEAD = re.compile(rb'^\{"status": "([A-Z]+)"')

_ADOPT = text("""
    WITH told AS (
        SELECT * FROM jsonb_to_recordset(CAST(:results AS jsonb)) AS t(
            task_id text, task_name text, status text, worker_id text, queue text, attempts int, args jsonb,
            kwargs jsonb, completed_at timestamptz, error_type text, error_message text, error_traceback text)
    ), adopted AS (
        INSERT INTO celery_task_registry
            (task_id, task_name, status, worker_id, queue, attempts, args, kwargs, completed_at, error_type,
             error_message, error_traceback, ended_by)
        SELECT task_id, task_name, status, worker_id, queue, attempts, args, kwargs, completed_at, error_type,
               error_message, error_traceback, :who
        FROM told ON CONFLICT DO NOTHING
        RETURNING task_id, status, completed_at
    )
    INSERT INTO celery_task_audit (task_id, to_status, refused, at, who, why)
    SELECT task_id, status, false, completed_at, :who, :why FROM adopted
    RETURNING task_id
""")


@dataclass(frozen=True)
class Noted:
    """How many notes wait to be read, and what became of those that were read, since the stream began.

    `adopted` results have a record now, `known` ones had one; `unfinished` is what a task said before its end;
    `malformed` could not be read as a result, `gone` had expired, or was removed, by then.
    """

    unread: int
    adopted: int = 0
    known: int = 0
    unfinished: int = 0
    malformed: int = 0
    gone: int = 0


def note(backend: RedisBackend, task_id: str) -> None:
    """Note that a result was stored; what keeps it from that is one line in the log, as the result is there."""
    expires_s = backend.expires
    oldest = {"minid": int((time.time() - expires_s) * 1000), "approximate": True} if expires_s else {}
    try:
        backend.client.xadd(_key(backend, NOTES), {"task": task_id}, **oldest)
    except redis.RedisError as error:
        logger.warning("tracking: the result of task %s is stored, and not noted: %s", task_id, error)


class Notes:
    """Those of one application."""

    def __init__(self, backend: RedisBackend, settings: Settings) -> None:
        self._backend, self._settings = backend, settings
        self._client = _bounded(backend.client)
        self._notes, self._read = _key(backend, NOTES), _key(backend, READ)

    def adopt(self, engine: Engine, until: float) -> None:
        """Read notes up to a moment of the monotonic clock; somebody else may be at it, who is left alone.

        Raises SQLAlchemy's errors and RedisError; then each batch is read whole or not at all.
        """
        by_statement = engine.execution_options(isolation_level="AUTOCOMMIT")
        with by_statement.connect() as connection:
            if connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": _LOCK}).scalar():
                try:
                    while time.monotonic() < until and self._adopt_batch(connection):
                        pass
                finally:
                    connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})

    def count(self) -> Noted:
        """What is there, and what became of the rest. Raises RedisError."""
        with self._client.pipeline(transaction=False) as pipe:
            pipe.xlen(self._notes)
            pipe.hmget(self._read, OUTCOMES)
            unread, counts = pipe.execute()
        return Noted(unread, **{name: int(count or 0) for name, count in zip(OUTCOMES, counts, strict=True)})

    def _adopt_batch(self, connection: Connection) -> int:
        notes: list[tuple[bytes, dict[bytes, bytes]]] = cast("Any", self._client.xrange(self._notes, count=_BATCH))
        if not notes:
            return 0
        counts: Counter[str] = Counter()
        results = {}
        noted = _ids(notes, counts)
        for task_id, meta in self._metas(noted, counts):
            if meta["status"] in ENDED:
                results[task_id] = self._record(task_id, meta, noted[task_id])
            else:
                counts["unfinished"] += 1
        made = _adopt(connection, list(results.values()))
        counts += Counter(adopted=made, known=len(results) - made)
        _tell(counts)
        last, _ = notes[-1]
        with self._client.pipeline() as pipe:
            pipe.xtrim(self._notes, minid=_after(last.decode()), approximate=False)
            for name, count in counts.items():
                pipe.hincrby(self._read, name, count)
            pipe.execute()
        return len(notes)

    def _metas(self, task_ids: Collection[str], counts: Counter[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """What Celery has stored for each task; what is none, or is not there any more, is counted.

        A bounded part is fetched at a time, and of what is long only the beginning.
        """
        keys = {task_id: self._backend.get_key_for_task(task_id) for task_id in task_ids}
        sizes = dict(zip(keys, self._all("strlen", *((key,) for key in keys.values())), strict=True))
        for task_id, size in sizes.items():
            if isinstance(size, Exception):
                _reject(task_id, f"it is no text: {size}", counts)
        whole = [task_id for task_id, size in sizes.items() if isinstance(size, int) and size <= _VALUE_BYTES_MAX]
        for part in _parts(whole, sizes):
            values = self._all("get", *((keys[task_id],) for task_id in part))
            yield from _readable(dict(zip(part, values, strict=True)), self._meta, counts)
        long = [task_id for task_id, size in sizes.items() if isinstance(size, int) and size > _VALUE_BYTES_MAX]
        heads = self._all("getrange", *((keys[task_id], 0, _HEAD_BYTES - 1) for task_id in long))
        yield from _readable(dict(zip(long, heads, strict=True)), _head, counts)

    def _all(self, command: str, *calls: tuple[Any, ...]) -> list[Any]:
        """The answers to one command with different words, in one go; an error stands for its own answer."""
        with self._client.pipeline(transaction=False) as pipe:
            for words in calls:
                getattr(pipe, command)(*words)
            return list(pipe.execute(raise_on_error=False))

    def _record(self, task_id: str, meta: Mapping[str, Any], noted_at: datetime) -> dict[str, Any]:
        """That of a task that has ended."""
        limit, secrets = self._settings.stored_arguments_bytes, self._settings.masked_names
        failed = meta["status"] != states.SUCCESS
        kind, said = error_in(meta.get("result")) if failed else (None, None)
        trace = meta.get("traceback")
        retries = meta.get("retries")
        return {
            "task_id": task_id,
            "task_name": _text(meta.get("name")),
            "status": meta["status"],
            "worker_id": _text(meta.get("worker")),
            "queue": _text(meta.get("queue")),
            "attempts": retries + 1 if isinstance(retries, int) and 0 <= retries < 1 << 30 else 0,
            "args": storable(meta.get("args"), limit_bytes=limit, masked_names=secrets),
            "kwargs": storable(meta.get("kwargs"), limit_bytes=limit, masked_names=secrets),
            "completed_at": (moment_of(meta.get("date_done")) or noted_at).isoformat(),
            "error_type": _text(kind),
            "error_message": masked(readable(said), secrets) if said is not None else None,
            "error_traceback": masked(readable(trace), secrets) if failed and isinstance(trace, str) else None,
        }

    def _meta(self, value: bytes) -> dict[str, Any] | str:
        """What Celery stores of a result; or why it is none."""
        try:
            meta = self._backend.decode(value)
        except Exception as error:  # noqa: BLE001 - what arrives is anybody's; a decoder may raise anything
            return f"it cannot be decoded: {type(error).__name__}: {readable(error, limit=200)}"
        if not isinstance(meta, dict):
            return f"expected an object, got {type(meta).__name__}"
        if not is_state(meta.get("status")):
            return f"{readable(meta.get('status'), limit=100)!r} is no state"
        return meta


def open_notes(app: Celery | None, settings: Settings) -> Notes | None:
    """Those of this application; None where its result backend is no Redis."""
    backend = app.backend if app is not None else None
    return Notes(backend, settings) if isinstance(backend, RedisBackend) else None


def _adopt(connection: Connection, results: list[dict[str, Any]]) -> int:
    if not results:
        return 0
    said = "a result of it was found, and no record"
    values = {"results": json.dumps(results), "who": STORER, "why": said}
    return len(connection.execute(_ADOPT, values).all())


def _readable(
    values: Mapping[str, object], read: Callable[[bytes], dict[str, Any] | str], counts: Counter[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for task_id, value in values.items():
        if value is None or value == b"":
            counts["gone"] += 1
            continue
        meta = read(value) if isinstance(value, bytes) else f"it is no text: {value}"
        if isinstance(meta, str):
            _reject(task_id, meta, counts)
        else:
            yield task_id, meta


def _head(value: bytes) -> dict[str, Any] | str:
    """The state alone, with which Celery's JSON begins."""
    found = _HEAD.match(value)
    return {"status": found[1].decode()} if found else "it is too long to be read whole, and does not begin as one"


def _ids(notes: Sequence[tuple[bytes, Mapping[bytes, bytes]]], counts: Counter[str]) -> dict[str, datetime]:
    """The tasks, each with the moment at which it was noted last, by the server's clock; an id may be anything."""
    ids = {}
    for number, fields in notes:
        task_id = fields.get(b"task", b"").decode("utf-8", "replace")
        if is_task_id(task_id):
            ids[task_id] = _moment(number.decode())
        else:
            _reject(task_id, "that is no id of a task", counts)
    return ids


def _moment(number: str) -> datetime:
    """When a note was made, by its number; several of one millisecond have an order."""
    milliseconds, _, place = number.partition("-")
    try:
        return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) + timedelta(microseconds=int(place))
    except (OverflowError, ValueError, OSError):  # somebody has numbered it by hand
        return datetime.now(UTC)


def _after(number: str) -> str:
    """The number that a stream gives at the soonest after this one."""
    moment, _, count = number.partition("-")
    return f"{moment}-{int(count) + 1}"


def _parts(task_ids: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """In turn, so many that what they hold is bounded."""
    total = itertools.accumulate(sizes[task_id] for task_id in task_ids)
    numbered = zip((size // _FETCH_BYTES for size in total), task_ids, strict=True)
    for _, part in itertools.groupby(numbered, key=lambda pair: pair[0]):
        yield [task_id for _, task_id in part]


def _reject(task_id: str, why: str, counts: Counter[str]) -> None:
    counts["malformed"] += 1
    if counts["malformed"] <= _TOLD_MAX:
        logger.warning("tracking: what is stored as the result of task %s is none: %s", readable(task_id), why)


def _tell(counts: Counter[str]) -> None:
    if counts["malformed"] > _TOLD_MAX:
        logger.warning("tracking: %d more entries are no results", counts["malformed"] - _TOLD_MAX)
    if counts["adopted"]:
        logger.info("tracking: made records of %d tasks, of which there were only results", counts["adopted"])


def _text(value: object) -> str | None:
    return readable(value, limit=500) if isinstance(value, str) else None


def _key(backend: RedisBackend, name: str) -> str:
    """Beside the application's results, under the prefix that they may have."""
    prefix: bytes = backend.task_keyprefix
    return prefix.decode().removesuffix("celery-task-meta-") + name


def _bounded(client: redis.Redis) -> redis.Redis:
    """The same server reached in the same way, with a bound on each answer, where there is one server only."""
    pool = client.connection_pool
    if type(pool) is not redis.ConnectionPool:
        return client
    bounds = {"socket_timeout": _ANSWER_S, "socket_connect_timeout": _ANSWER_S, "retry": Retry(NoBackoff(), 0)}
    return redis.Redis(
        connection_pool=redis.ConnectionPool(pool.connection_class, **{**pool.connection_kwargs, **bounds})
    )
