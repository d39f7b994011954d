"""Analyses over HTTP: one is begun, and what came of it is read from either store."""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any

from celery import Celery
from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse, Response
from kombu.exceptions import OperationalError
from pydantic import BaseModel
from sqlalchemy import Engine

from reference_impl.analysis import rows
from reference_impl.analysis.document import upgraded
from reference_impl.analysis.engine import AnalysisRequest, NotAnalysedError, begin
from reference_impl.analysis.files import NoFileError, read_whole
from reference_impl.api_answers import TaskId, unless_succeeded
from reference_impl.api_callers import Caller, Token
from reference_impl.api_problems import Problem, ProblemError
from reference_impl.bounded import NotInTimeError, within
from reference_impl.settings import Settings
from reference_impl.status import StatusDocument, read_status

_BROKER_S = 5.0
_publishing = threading.BoundedSemaphore(4)
"""So many wait for a broker that does not answer, and no more."""


class Begun(BaseModel):
    """An analysis that was begun."""

    task_id: str


def add_analyses(api: FastAPI, engine: Engine, app: Celery | None, settings: Settings) -> None:
    """`POST /api/analysis/run`, `GET /api/analysis/{task_id}` and `GET /api/analysis/{task_id}/file`."""
    whys: dict[int | str, dict[str, Any]] = {
        200: {"description": "The document."},
        202: {"model": StatusDocument},
        404: {"model": Problem},
        409: {"model": Problem},
    }

    @api.post("/api/analysis/run", status_code=202, responses={409: {"model": Problem}})
    def run(caller: Caller, request: Annotated[AnalysisRequest, Body()]) -> Begun:
        """Begin an analysis; its task's id leads to all the rest."""
        return _begun(engine, app, request, caller)

    @api.get("/api/analysis/{task_id}", responses=whys, response_model=None)
    def get_analysis(task_id: TaskId, caller: Caller) -> Response:
        """The document, as the database holds it."""
        row = _found(engine, task_id, caller)
        return row if isinstance(row, Response) else JSONResponse(upgraded(row.document))

    @api.get("/api/analysis/{task_id}/file", responses=whys, response_model=None)
    def get_file(task_id: TaskId, caller: Caller) -> Response:
        """The document, as its file holds it, uncompressed."""
        row = _found(engine, task_id, caller)
        return row if isinstance(row, Response) else _file(row, settings)


def _begun(engine: Engine, app: Celery | None, request: AnalysisRequest, caller: Token) -> Begun:
    if app is None:
        raise ProblemError(409, "no-application", "this API knows no application whose workers could do it")

    if not _publishing.acquire(blocking=False):
        raise ProblemError(503, "busy", "earlier analyses are not published yet, as broker or database do not answer")

    def publish() -> str:
        try:
            return begin(app, request, owner=caller.owner, engine=engine)
        finally:
            _publishing.release()

    try:
        return Begun(task_id=within(_BROKER_S, "publication of an analysis", publish))
    except NotAnalysedError as error:
        raise ProblemError(409, "no-services", str(error)) from error
    except (OSError, OperationalError, NotInTimeError) as error:
        said = "broker or database did not answer in time; the analysis may begin all the same"
        raise ProblemError(503, "broker", said) from error


def _file(row: Any, settings: Settings) -> Response:
    if row.file_due or row.file_path is None:
        why = f"it is not written yet: {row.file_error}" if row.file_due else "it was kept for long enough"
        raise ProblemError(404, "no-file", f"there is no file of this analysis: {why}")
    try:
        document = json.loads(read_whole(settings.results_directory, row.file_path))
    except (NoFileError, ValueError) as error:
        raise ProblemError(404, "no-file", f"the file of this analysis cannot be read here: {error}") from error
    return JSONResponse(upgraded(document))


def _found(engine: Engine, task_id: str, caller: Token) -> Any:
    """The row of an analysis that is over; or the answer while it is not. Raises ProblemError."""
    with engine.connect() as connection:
        status = read_status(connection, task_id, owner=caller.owner, secrets=caller.secrets)
        row = rows.find(connection, task_id) if status is not None or caller.owner is None else None
    if row is not None and row.document is not None:
        return row
    if status is None:
        raise ProblemError(404, "unknown", f"no analysis {task_id!r} is known")
    if (answer := unless_succeeded(status, "analysis")) is not None:
        return answer
    raise ProblemError(409, "not-persisted", "it was not to be kept: /tasks/{id}/result has it while it is there")
