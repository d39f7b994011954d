"""Analyses in Postgres: what was asked, the document that came of it, and what has to be done about its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Connection, Row, Table, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from reference_impl.analysis.document import Document
from reference_impl.models import Analysis

_ANALYSES = cast("Table", Analysis.__table__)
_NOTES = _ANALYSES.c.metadata

_DUE = text("""
    SELECT task_id, document FROM celery_analysis
    WHERE file_due AND document IS NOT NULL AND completed_at < clock_timestamp() - make_interval(secs => :after_s)
    ORDER BY file_error IS NOT NULL, random() LIMIT :limit
""")
_OUTDATED = text("""
    SELECT a.task_id, a.file_path FROM celery_analysis a LEFT JOIN celery_task_registry r USING (task_id)
    WHERE a.file_path IS NOT NULL AND a.file_error IS NULL AND NOT a.file_due
      AND a.completed_at < clock_timestamp() - make_interval(secs => :keep_s)
      AND (r.status IS NULL OR r.status IN ('SUCCESS', 'FAILURE', 'REVOKED'))
    ORDER BY a.completed_at LIMIT :limit
""")


def begin(
    connection: Connection,
    task_id: str,
    target: str,
    analysis_type: str,
    app_number: int,
    metadata: Mapping[str, Any],
) -> None:
    """Note what is asked; where it is known already, what is told beside it is added."""
    asked = {
        "task_id": task_id,
        "target": target,
        "analysis_type": analysis_type,
        "app_number": app_number,
        "metadata": dict(metadata),
    }
    connection.execute(
        upsert(_ANALYSES)
        .values(asked)
        .on_conflict_do_update(index_elements=["task_id"], set_={"metadata": _NOTES.concat(dict(metadata))})
    )


def forget(connection: Connection, task_id: str) -> None:
    """Nothing was begun after all."""
    connection.execute(delete(_ANALYSES).where(_ANALYSES.c.task_id == task_id, _ANALYSES.c.document.is_(None)))


def finish(connection: Connection, document: Document) -> Document:
    """Keep the document, which takes up the metadata that is there already; its file is due from now on."""
    begin(connection, document.task_id, document.target, document.analysis_type, document.app_number, {})
    row = connection.execute(select(_ANALYSES).where(_ANALYSES.c.task_id == document.task_id).with_for_update()).one()
    whole = document.model_copy(update={"metadata": {**document.metadata, **row.metadata}})
    values = {
        "metadata": whole.metadata,
        "document": whole.model_dump(mode="json"),
        "status": whole.summary.status,
        "completed_at": func.clock_timestamp(),
        "file_due": True,
        "file_error": None,
    }
    connection.execute(update(_ANALYSES).where(_ANALYSES.c.task_id == document.task_id).values(values))
    return whole


def note_file(connection: Connection, document: Document, path: str) -> str | None:
    """Its file is there; gives the path of one that nobody needs: an earlier execution's, which may be this one."""
    row = connection.execute(
        select(_ANALYSES).where(_ANALYSES.c.task_id == document.task_id).with_for_update()
    ).one_or_none()
    if row is None or (row.document or {}).get("timestamp") != document.model_dump(mode="json")["timestamp"]:
        return path
    values = {"file_due": False, "file_path": path, "file_error": None}
    connection.execute(update(_ANALYSES).where(_ANALYSES.c.task_id == document.task_id).values(values))
    return str(row.file_path) if row.file_path not in {None, path} else None


def note_trouble(connection: Connection, task_id: str, why: str) -> None:
    """Its file could not be written, and stays due; or not be removed, and is left."""
    connection.execute(update(_ANALYSES).where(_ANALYSES.c.task_id == task_id).values(file_error=why))


def forget_file(connection: Connection, task_id: str, path: str) -> None:
    """This file of it is gone, by policy."""
    of_it = (_ANALYSES.c.task_id == task_id, _ANALYSES.c.file_path == path)
    connection.execute(update(_ANALYSES).where(*of_it).values(file_path=None))


def due(connection: Connection, after_s: float, limit: int) -> list[Row[Any]]:
    """Those whose files are to be written yet although they ended so long ago; any of them, the untried ones first."""
    return list(connection.execute(_DUE, {"after_s": after_s, "limit": limit}))


def outdated(connection: Connection, keep_s: float, limit: int) -> list[Row[Any]]:
    """Those whose files have been kept for long enough, and whose tasks do not run, or run again."""
    return list(connection.execute(_OUTDATED, {"keep_s": keep_s, "limit": limit}))


def find(connection: Connection, task_id: str) -> Row[Any] | None:
    """One of them."""
    return connection.execute(select(_ANALYSES).where(_ANALYSES.c.task_id == task_id)).one_or_none()
