"""Both stores: the database first, then the file; what cannot be written at once is written later, and by whom.

The database decides: a document that is there has a file, or its file is due. Trouble with the disk is told, and fails
no task. `tend` is called by a thread of each worker: it writes what is due, cleans up after writers that were
killed, and removes what was kept for long enough.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from reference_impl import metrics
from reference_impl.analysis import files, rows
from reference_impl.analysis.document import Document, upgraded
from reference_impl.connections import cause_of
from reference_impl.settings import Settings

logger = logging.getLogger(__name__)

ATTEMPTS = 4
FIRST_PAUSE_S = 0.25
DUE_AFTER_S = 3.0
"""A file that is due is left to its own task for so long, which takes less for all of its attempts."""

_AT_ONCE = 20
_told: dict[str, str] = {}


def persist(engine: Engine, settings: Settings, document: Document) -> Document:
    """Write the document to both stores; gives what they hold. Raises SQLAlchemy's errors, and none of the disk's."""
    began = time.monotonic()
    try:
        with engine.begin() as connection:
            whole = rows.finish(connection, document)
    except Exception:  # whatever it is, it is counted, and goes on
        metrics.persisting_failed("database")
        raise
    metrics.persisted("database", time.monotonic() - began, len(_text(whole)))
    _tell_of(whole)
    try:
        for attempt in _patiently(whole.task_id):
            with attempt:
                write_file(engine, settings, whole)
    except OSError as error:
        why = f"{type(error).__name__}: {error}"
        logger.warning(
            "analysis: the file of task %s is not written after %d attempts: %s; it will be",
            whole.task_id,
            ATTEMPTS,
            why,
        )
        _note_trouble(engine, whole.task_id, why)
    except SQLAlchemyError as error:  # the document is safe: whether its file is there, the next sweep finds out
        logger.warning("analysis: the file of task %s is not noted yet: %s", whole.task_id, cause_of(error))
    return whole


def write_file(engine: Engine, settings: Settings, document: Document) -> None:
    """Write the file of a document that the database holds. Raises OSError and SQLAlchemy's errors."""
    began = time.monotonic()
    folder = files.folder_of(
        document.target, document.app_number, document.analysis_type, document.task_id, document.timestamp
    )
    try:
        written = files.write_whole(settings.results_directory, folder, _text(document), settings.results_gzip_bytes)
    except OSError:
        metrics.persisting_failed("file")
        raise
    with engine.begin() as connection:
        unneeded = rows.note_file(connection, document, str(written.path))
    if written.is_new:
        metrics.persisted("file", time.monotonic() - began, written.size_bytes)
        logger.info(
            "analysis: the file of task %s is written: %d bytes at %s",
            document.task_id,
            written.size_bytes,
            written.path,
        )
    if unneeded is not None:
        try:
            files.remove(settings.results_directory, unneeded)
        except OSError as error:
            logger.warning("analysis: a file of an earlier execution is left at %s: %s", unneeded, error)


def tend(engine: Engine, settings: Settings) -> None:
    """Write what is due, clean up, and remove what is old; trouble is told once for each cause."""
    with engine.begin() as connection:
        waiting = rows.due(connection, DUE_AFTER_S, _AT_ONCE)
    for row in waiting:
        try:
            write_file(engine, settings, Document.model_validate(upgraded(row.document)))
        except (OSError, ValueError) as error:
            _note_and_tell(engine, row.task_id, error)
        else:
            _told.pop(row.task_id, None)
    left = files.clean_leftovers(settings.results_directory)
    if left:
        logger.info("analysis: removed %d files that nobody had written to their end", left)
    if settings.results_keep_s is not None:
        _remove_old(engine, settings, settings.results_keep_s)


def _remove_old(engine: Engine, settings: Settings, keep_s: float) -> None:
    with engine.begin() as connection:
        old = rows.outdated(connection, keep_s, _AT_ONCE)
    for row in old:
        try:
            files.remove(settings.results_directory, row.file_path)
        except OSError as error:
            _note_and_tell(engine, row.task_id, error)
            continue
        with engine.begin() as connection:
            rows.forget_file(connection, row.task_id, row.file_path)
        logger.info("analysis: removed the file of task %s, which is older than %g s", row.task_id, keep_s)


def _note_trouble(engine: Engine, task_id: str, why: str) -> None:
    try:
        with engine.begin() as connection:
            rows.note_trouble(connection, task_id, why)
    except SQLAlchemyError as error:
        logger.warning("analysis: trouble with the file of task %s is not noted: %s", task_id, cause_of(error))


def _patiently(task_id: str) -> Retrying:
    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause_s = state.next_action.sleep if state.next_action else 0.0
        logger.warning(
            "analysis: attempt %d to write the file of task %s failed: %s: %s; again in %.2f s",
            state.attempt_number,
            task_id,
            type(error).__name__,
            error,
            pause_s,
        )

    return Retrying(
        retry=retry_if_exception_type(OSError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=FIRST_PAUSE_S),
        before_sleep=tell,
        reraise=True,
    )


def _tell_of(document: Document) -> None:
    figures = document.summary
    told = f"{figures.total_findings} findings, {len(figures.tools_executed)} tools, {len(document.services)} services"
    if document.is_empty:
        logger.warning("analysis: wrote task %s (%s): %s: its payload is empty", document.task_id, figures.status, told)
    elif not figures.total_findings and not figures.tools_executed:
        logger.warning(
            "analysis: wrote task %s (%s): %s: it has neither findings nor tools",
            document.task_id,
            figures.status,
            told,
        )
    else:
        logger.info("analysis: wrote task %s (%s): %s", document.task_id, figures.status, told)


def _note_and_tell(engine: Engine, task_id: str, error: Exception) -> None:
    """In the row each time, in the log once for each cause; `tend` is called by one thread of a process."""
    why = f"{type(error).__name__}: {error}"
    _note_trouble(engine, task_id, why)
    if _told.get(task_id) != why:
        logger.warning("analysis: the file of task %s: %s", task_id, why)
    _told[task_id] = why


def _text(document: Document) -> bytes:
    form: dict[str, Any] = document.model_dump(mode="json")
    return json.dumps(form, ensure_ascii=False, indent=1).encode()
