"""Asking for an analysis: what is asked is noted, and a task is sent to do it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, cast

from celery import Celery
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import Engine

from reference_impl.analysis import rows
from reference_impl.connections import open_engine
from reference_impl.settings import Settings
from reference_impl.storable import plain

TASK = "celery_tracker.analyse"
NAME_CHARS_MAX = 500
_OWNER_HEADER = "tracking_owner"


class NotAnalysedError(Exception):
    """Nothing was begun; the message says why, and what to do."""


class AnalysisRequest(BaseModel):
    """What is asked."""

    model_config = ConfigDict(extra="forbid")

    target: str = Field(min_length=1, max_length=NAME_CHARS_MAX, pattern=r"^[^\x00]*$", description="what is analysed")
    analysis_type: str = Field(default="full", min_length=1, max_length=NAME_CHARS_MAX, pattern=r"^[^\x00]*$")
    app_number: int = Field(default=1, ge=0, le=1_000_000)
    services: list[str] | None = Field(default=None, min_length=1, description="which analysers; all where it is unset")
    metadata: dict[str, Any] = Field(default_factory=dict, description="kept with the result")
    persist: bool = Field(default=True, description="whether the result is kept, in the database and as a file")

    @field_validator("metadata")
    @classmethod
    def _as_it_can_be_kept(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        try:
            return cast("dict[str, Any]", plain(metadata))
        except RecursionError as error:
            raise ValueError("it is nested too deep") from error


def request_of(**asked: Any) -> AnalysisRequest:
    """The request; raises NotAnalysedError, on one line, where it is none."""
    try:
        return AnalysisRequest(**asked)
    except ValidationError as error:
        problem = error.errors()[0]
        raise NotAnalysedError(f"{problem['loc'][0]}: {problem['msg']}, got {problem['input']!r}") from error


def analyse(
    app: Celery,
    target: str,
    *,
    analysis_type: str = "full",
    app_number: int = 1,
    services: list[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    persist: bool = True,
) -> str:
    """Begin an analysis, and give its task's id; its result is kept, as JSON, unless `persist` is off.

    Raises NotAnalysedError, SQLAlchemy's errors, and the broker's.
    """
    request = request_of(
        target=target,
        analysis_type=analysis_type,
        app_number=app_number,
        services=services,
        metadata=dict(metadata or {}),
        persist=persist,
    )
    return begin(app, request)


def begin(app: Celery, request: AnalysisRequest, *, owner: str | None = None, engine: Engine | None = None) -> str:
    """The same of a request; `owner` is whose it is, for tokens that see only theirs."""
    settings: Settings | None = getattr(app, "tracking_settings", None)
    if settings is None or not settings.analysis_services:
        raise NotAnalysedError("no analyser service is known: set analysis_services, and call install(app)")
    if unknown := sorted(set(request.services or ()) - settings.analysis_services.keys()):
        known = ", ".join(sorted(settings.analysis_services))
        raise NotAnalysedError(f"no analyser service is called {unknown[0]!r}; there are {known}")
    task_id = str(uuid.uuid4())
    used = engine or open_engine(settings)
    try:
        if request.persist:
            with used.begin() as connection:
                rows.begin(
                    connection,
                    task_id,
                    request.target,
                    request.analysis_type,
                    request.app_number,
                    request.metadata,
                )
        _send(app, request, task_id, owner, used)
    finally:
        if engine is None:
            used.dispose()
    return task_id


def _send(app: Celery, request: AnalysisRequest, task_id: str, owner: str | None, engine: Engine) -> None:
    headers = {_OWNER_HEADER: owner} if owner is not None else {}
    try:
        app.send_task(TASK, kwargs={"request": request.model_dump(mode="json")}, task_id=task_id, headers=headers)
    except Exception:  # whichever way the broker fails, nothing was begun
        with engine.begin() as connection:
            rows.forget(connection, task_id)
        raise
