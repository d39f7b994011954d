"""Results in Postgres, as long as they are kept: small ones in a row, large ones in pieces, none after its time.

A result that is too large for a row is written to a file as it is encoded, and read from there piece by piece, so
no process ever holds the whole text. The pieces are there before anybody is told of the result, unless the
database is away; then the file stays until the report of the task's end is written.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self, cast
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Engine, Row, Table, bindparam, text
from sqlalchemy.dialects.postgresql import insert as upsert

from reference_impl.models import ResultPiece
from reference_impl.returned import Form, Text, read_pieces, write_text
from reference_impl.settings import Settings

PIECE_BYTES = 262_144
MARKER = "celery_tracker_result"
"""The one key of what stands in the result backend for a result that is kept by reference."""

_FORGET_AT_ONCE = 1000
_TELL_AT_ONCE = 100
_PIECES = cast("Table", ResultPiece.__table__)


@dataclass(frozen=True)
class Kept:
    """A result on its way into the database. `file` is where its text is until its pieces are there."""

    size_bytes: int
    sha256: str
    left_out: tuple[str, ...] = ()
    body: bytes | None = None
    body_id: UUID | None = None
    file: str | None = None
    told: bool = True
    expires_s: float | None = None

    @property
    def reference(self) -> dict[str, Any]:
        """What stands for it in the result backend."""
        return _reference(self.body_id, self.size_bytes, self.sha256)


def _reference(body_id: UUID | None, size_bytes: int, sha256: str) -> dict[str, Any]:
    return {MARKER: {"body_id": str(body_id), "size_bytes": size_bytes, "sha256": sha256}}


_ADD_PIECE = upsert(_PIECES).values({name: bindparam(name) for name in ("body_id", "number", "body")})
_ADD_PIECE = _ADD_PIECE.on_conflict_do_nothing()  # somebody may have been slower than was waited for
PUT = """
    INSERT INTO celery_task_result (task_id, size_bytes, sha256, left_out, body, body_id, told, stored_at, expires_at)
    SELECT task_id, %(size_bytes)s, %(sha256)s, %(left_out)s, %(body)s, %(body_id)s, %(told)s, at,
           at + make_interval(secs => CAST(%(expires_s)s AS double precision))
    FROM ended
    ON CONFLICT (task_id) DO UPDATE SET
        size_bytes = excluded.size_bytes, sha256 = excluded.sha256, left_out = excluded.left_out,
        body = excluded.body, body_id = excluded.body_id, told = excluded.told,
        stored_at = excluded.stored_at, expires_at = excluded.expires_at
"""
"""A part of a statement, in psycopg's style, that has the task's id, and the moment of its end, in `ended`."""
_PUT = f"WITH ended AS (SELECT %(task_id)s::text AS task_id, %(at)s::timestamptz AS at) {PUT}"
_FIND = text("""
    SELECT *, coalesce(expires_at < clock_timestamp(), false) AS expired
    FROM celery_task_result WHERE task_id = :task_id
""")
# The clock's own time may change within a statement, so no index serves a comparison with it.
_UNTOLD = text("""
    SELECT s.*, r.status, r.error_type, r.error_message, a.waiters
    FROM celery_task_result s JOIN celery_task_registry r USING (task_id)
         LEFT JOIN celery_task_attempt a ON a.attempt_id = r.attempt_id
    WHERE NOT s.told AND (s.body IS NOT NULL OR s.body_id IS NOT NULL OR r.status = 'FAILURE')
      AND coalesce(s.expires_at > statement_timestamp(), true)
    ORDER BY task_id LIMIT :at_once
""")
_NOTE_TOLD = text("UPDATE celery_task_result SET told = true WHERE task_id = :task_id")
_PIECE = text("SELECT body FROM celery_task_result_piece WHERE body_id = :body_id AND number = :number")
_EMPTY = text("""
    WITH expired AS (
        SELECT task_id, body_id FROM celery_task_result
        WHERE expires_at < statement_timestamp() AND (body IS NOT NULL OR body_id IS NOT NULL)
        ORDER BY expires_at LIMIT :at_once FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM celery_task_result_piece p USING expired e WHERE p.body_id = e.body_id
    )
    UPDATE celery_task_result r SET body = NULL, body_id = NULL FROM expired e WHERE r.task_id = e.task_id
""")
_UNCLAIMED = text("""
    DELETE FROM celery_task_result_piece p
    WHERE p.stored_at < statement_timestamp() - interval '1 day'
      AND NOT EXISTS (SELECT FROM celery_task_result r WHERE r.body_id = p.body_id)
""")
_FORGET = text("""
    WITH over AS (
        SELECT task_id FROM celery_task_registry
        WHERE completed_at < statement_timestamp() - make_interval(secs => :after_s)
          AND status IN ('SUCCESS', 'FAILURE', 'REVOKED')
        ORDER BY completed_at LIMIT :at_once FOR UPDATE SKIP LOCKED
    ), attempts AS (
        DELETE FROM celery_task_attempt a USING over WHERE a.task_id = over.task_id
    ), entries AS (
        DELETE FROM celery_task_audit a USING over WHERE a.task_id = over.task_id
    ), messages AS (
        DELETE FROM celery_task_message m USING over WHERE m.task_id = over.task_id
    ), results AS (
        DELETE FROM celery_task_result r USING over WHERE r.task_id = over.task_id RETURNING r.body_id
    ), pieces AS (
        DELETE FROM celery_task_result_piece p USING results WHERE p.body_id = results.body_id
    )
    DELETE FROM celery_task_registry r USING over WHERE r.task_id = over.task_id RETURNING r.task_id
""")


class TooLargeError(Exception):
    """The result is larger than `result_bytes_max`."""


def keep(form: Form, settings: Settings, directory: Callable[[], Path]) -> Kept:
    """Encode a result; one that is too large for a row goes into a file in `directory`, which is asked for only then.

    Raises OSError when it cannot be written, TooLargeError.
    """
    body_id = uuid4()
    with _Bounded(lambda: directory() / f"celery-tracker-{body_id.hex}.result", settings.result_bytes_max) as file:
        written: Text = write_text(form, settings.result_inline_bytes, file)
    kept = Kept(written.size_bytes, written.sha256, form.left_out, written.body)
    return kept if file.path is None else replace(kept, body_id=body_id, file=str(file.path))


class _Bounded:
    """A file that is made when something is written to it, and grows up to a limit; nothing is left of a failure."""

    def __init__(self, place: Callable[[], Path], limit_bytes: int) -> None:
        self._place, self._limit, self._size = place, limit_bytes, 0
        self._file: int | None = None
        self.path: Path | None = None

    def __enter__(self) -> Self:
        return self

    def write(self, piece: bytes) -> int:
        self._size += len(piece)
        if self._size > self._limit:
            raise TooLargeError(f"it takes more than result_bytes_max ({self._limit} bytes)")
        if self._file is None:
            self.path = self._place()
            self._file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._file, view) :]
        return len(piece)

    def __exit__(self, failed: object, *_: object) -> None:
        if self._file is not None and self.path is not None:
            os.close(self._file)
            if failed is not None:
                self.path.unlink(missing_ok=True)


def store_pieces(engine: Engine, kept: Kept) -> Kept:
    """Put the pieces of a large one into the database. Raises SQLAlchemy's errors and OSError; then its file stays."""
    with engine.begin() as connection:
        _insert_pieces(connection, kept)
    discard_file(kept)
    return replace(kept, file=None)


def discard_file(kept: Kept) -> None:
    """Its text is in the database, or nobody is going to ask for it."""
    if kept.file is not None:
        Path(kept.file).unlink(missing_ok=True)


def put(connection: Connection, task_id: str, kept: Kept, completed_at: datetime) -> None:
    """Keep a result with the end of its task, as part of the caller's transaction."""
    if kept.file is not None and Path(kept.file).exists():
        _insert_pieces(connection, kept)
    connection.exec_driver_sql(_PUT, {"task_id": task_id, "at": completed_at} | put_values(kept))


def put_values(kept: Kept) -> dict[str, Any]:
    """What `PUT` is given of a result."""
    names = ("size_bytes", "sha256", "body", "body_id", "told", "expires_s")
    return {name: getattr(kept, name) for name in names} | {"left_out": Jsonb(list(kept.left_out))}


def find(connection: Connection, task_id: str) -> Row[Any] | None:
    """All that is kept of a task's result, with `expired` by the database's clock."""
    return connection.execute(_FIND, {"task_id": task_id}).one_or_none()


def pieces_of(engine: Engine, body_id: UUID) -> Iterator[bytes]:
    """The pieces of a large result, in order; one is in memory, and no connection waits for whoever reads slowly."""
    for number in itertools.count():
        with engine.connect() as connection:
            piece = connection.execute(_PIECE, {"body_id": body_id, "number": number}).scalar()
        if piece is None:
            return
        yield bytes(piece)


def untold_failure(expires_s: float | None) -> Kept:
    """What is kept of a failure that the result backend could not take: that it is to be told."""
    return Kept(0, "", told=False, expires_s=expires_s)


def untold(connection: Connection) -> Sequence[Row[Any]]:
    """Some of the ends, not expired, that the result backend could not be told of, with who waits for them."""
    return connection.execute(_UNTOLD, {"at_once": _TELL_AT_ONCE}).all()


def value_for_backend(row: Row[Any]) -> Any:
    """What stands for a result in the result backend: the value, or the reference to a large one."""
    return json.loads(row.body) if row.body is not None else _reference(row.body_id, row.size_bytes, row.sha256)


def note_told(connection: Connection, task_id: str) -> None:
    """The result backend has it now."""
    connection.execute(_NOTE_TOLD, {"task_id": task_id})


def forget_expired(connection: Connection, settings: Settings) -> int:
    """Forget results whose time is over, and whatever else is known of tasks when theirs is; gives how many records.

    At most 1000 of each in one transaction, which is the caller's.
    """
    connection.execute(_EMPTY, {"at_once": _FORGET_AT_ONCE})
    connection.execute(_UNCLAIMED)
    if settings.result_extended_expires is None:
        return 0
    return forget_ended_before(connection, settings.result_extended_expires)


def forget_ended_before(connection: Connection, after_s: float) -> int:
    """Forget at most 1000 tasks that ended so long ago, with all that is known of them; gives how many."""
    return len(connection.execute(_FORGET, {"after_s": after_s, "at_once": _FORGET_AT_ONCE}).all())


def _insert_pieces(connection: Connection, kept: Kept) -> None:
    for number, piece in enumerate(read_pieces(Path(cast("str", kept.file)), PIECE_BYTES)):
        connection.execute(_ADD_PIECE, {"body_id": kept.body_id, "number": number, "body": piece})


def as_values(kept: Kept) -> dict[str, Any]:
    """As JSON, for the spool."""
    body = None if kept.body is None else kept.body.decode("utf-8")
    return asdict(kept) | {"body": body, "body_id": kept.body_id and str(kept.body_id)}


def from_values(values: Mapping[str, Any]) -> Kept:
    """What `as_values` made."""
    body, body_id = values["body"], values["body_id"]
    return Kept(
        **{
            **values,
            "left_out": tuple(values["left_out"]),
            "body": None if body is None else body.encode(),
            "body_id": body_id and UUID(body_id),
        }
    )
