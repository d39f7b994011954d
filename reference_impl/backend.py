"""The application's result backend, whichever it is, made to keep the work that was done.

What the serializer of results cannot take is stored as far as JSON can hold it, instead of failing the task.
What is too large for the backend is kept by reference, and `.get()` follows it. And where the backend is away when
a task ends, the task has ended all the same: its result is in the registry, and is told to the backend later.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from celery import Celery, states
from celery.backends.base import Backend
from celery.backends.redis import RedisBackend
from kombu.exceptions import EncodeError
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import override

from reference_impl.bounded import NotInTimeError, within
from reference_impl.connections import cause_of, open_engine
from reference_impl.noted_results import note
from reference_impl.returned import Form, form_of
from reference_impl.settings import Settings
from reference_impl.spool import SpoolError, own_directory
from reference_impl.stored_results import MARKER, Kept, TooLargeError, keep, pieces_of, store_pieces

logger = logging.getLogger(__name__)

LARGE_RESULT_S = 10.0
"""So long does a task wait at most for a result to be stored that is too large for the result backend."""


class ResultLostError(Exception):
    """A result was kept by reference, and is no longer there."""


def keep_results(app: Celery, settings: Settings) -> None:
    """From now on each backend that the application makes keeps results; call it before it makes the first."""
    if settings.result_expires is not None:
        app.conf.result_expires = settings.result_expires
    make: Callable[[], Backend] = app._get_backend  # noqa: SLF001 - Celery has no other place for a backend of any kind
    kinds: dict[type[Backend], type[Backend]] = {}

    def made() -> Backend:
        backend = make()
        kind = type(backend)
        if kind not in kinds:
            kinds[kind] = type(kind.__name__, (_Keeping, kind), {"tracking_settings": settings})
        backend.__class__ = kinds[kind]
        return backend

    app._get_backend = made  # noqa: SLF001 - see above


def expires_s(app: Celery) -> float | None:
    """For how many seconds results are kept; None keeps them for ever."""
    value = app.conf.result_expires
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return float(seconds) if seconds else None


def kept_result(app: Celery, settings: Settings, task_id: str, value: object) -> tuple[Form, Kept | None]:
    """A returned value in JSON, and on its way to be kept; None, told in the log, where it cannot be."""
    form = form_of(value)
    try:
        kept = replace(keep(form, settings, lambda: own_directory(settings)), expires_s=expires_s(app))
    except (OSError, SpoolError, TooLargeError) as error:
        logger.error("tracking: the result of task %s is not kept: %s: %s", task_id, type(error).__name__, error)
        return form, None
    return form, kept if kept.file is None else _with_its_pieces_stored(kept, settings)


def _with_its_pieces_stored(kept: Kept, settings: Settings) -> Kept:
    """Where the database answers in time; else the file stays, to be read when the end is written."""

    def store() -> Kept:
        engine = open_engine(settings)
        try:
            return store_pieces(engine, kept)
        finally:
            engine.dispose()

    try:
        return within(LARGE_RESULT_S, "large result", store)
    except (SQLAlchemyError, OSError, NotInTimeError) as error:
        logger.warning("tracking: a result of %d bytes stays on disk for now: %s", kept.size_bytes, cause_of(error))
        return kept


class _Keeping(Backend):
    """Mixed into the class of the application's backend."""

    tracking_settings: Settings

    @override
    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> None:
        if not store_result or request is None:
            super().mark_as_done(task_id, result, request, store_result, state)
            return
        form, kept = kept_result(self.app, self.tracking_settings, task_id, result)
        request.tracking_kept = kept
        stored = kept.reference if kept is not None and kept.body is None else result
        try:
            self._done(task_id, stored, request, state)
        except EncodeError:
            if form.is_nothing:
                raise
            logger.warning(
                "tracking: the result of task %s is stored as JSON can hold it%s",
                task_id,
                f", without {'; '.join(form.left_out)}" if form.left_out else "",
            )
            self._done(task_id, form.value, request, state)

    def _done(self, task_id: str, stored: Any, request: Any, state: str) -> None:
        try:
            super().mark_as_done(task_id, stored, request, True, state)
        except EncodeError:
            raise
        except Exception as error:
            if request.tracking_kept is None:
                raise
            request.tracking_kept = replace(request.tracking_kept, told=False)
            _tell_of_absence(task_id, error)

    @override
    def mark_as_failure(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> None:
        try:
            super().mark_as_failure(task_id, exc, traceback, request, **kwargs)
        except EncodeError:
            raise
        except Exception as error:
            if getattr(request, "tracking_attempt", None) is None:
                raise
            request.tracking_untold = True
            _tell_of_absence(task_id, error)  # the task's own failure must not be replaced by this one

    @override
    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        stored = super().store_result(task_id, result, state, traceback, request=request, **kwargs)
        if getattr(request, "tracking_attempt", None) is None and isinstance(self, RedisBackend):
            note(self, task_id)
        return stored

    @override
    def meta_from_decoded(self, meta: dict[str, Any]) -> dict[str, Any]:
        meta = super().meta_from_decoded(meta)
        result = meta.get("result")
        if isinstance(result, dict) and result.keys() == {MARKER}:
            meta["result"] = self._fetched(UUID(result[MARKER]["body_id"]))
        return meta

    def _fetched(self, body_id: UUID) -> Any:
        engine = open_engine(self.tracking_settings)
        try:
            text = b"".join(pieces_of(engine, body_id))
        finally:
            engine.dispose()
        if not text:
            raise ResultLostError(
                f"the result {body_id} is not there: it has expired, or the database has not got it yet"
            )
        return json.loads(text)


def _tell_of_absence(task_id: str, error: Exception) -> None:
    logger.error(
        "tracking: the result backend does not know the end of task %s yet: %s: %s",
        task_id,
        type(error).__name__,
        error,
    )
