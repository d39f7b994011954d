"""The HTTP API: statuses, results, and requests to cancel, for whoever holds a token.

A result is given as the task returned it, not wrapped: 200 with its JSON, 303 to where a large one is streamed. Why
there is none has a status of its own: 202 not ready, 404 unknown, 409 failed, revoked or never kept, 410 expired.
Errors are problem documents (RFC 9457), whose `code` a program can use.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any
from urllib.parse import quote

import uvicorn
from celery import Celery
from fastapi import Body, FastAPI, Query
from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reference_impl.analysis.api import add_analyses
from reference_impl.api_agents import add_agents
from reference_impl.api_answers import TaskId, unless_succeeded
from reference_impl.api_callers import Caller, Overseer, Token, who_calls
from reference_impl.api_health import add_health
from reference_impl.api_metrics import ApiMetrics, Counted
from reference_impl.api_pages import PAGE_MAX, Cursor, Name, cursor_of, place_of
from reference_impl.api_problems import Problem, ProblemError, describe_problems, tell_problems
from reference_impl.api_scheduler import add_scheduler
from reference_impl.bounded import within
from reference_impl.changes import Changes
from reference_impl.connections import open_engine
from reference_impl.lifecycle import ENDED, Refusal, Revoked, Status
from reference_impl.monitor import MESSAGE_CHARS_MAX, add_monitor
from reference_impl.registry import Registry
from reference_impl.reports import Report
from reference_impl.settings import Settings
from reference_impl.status import ResultState, StatusDocument, list_statuses, read_status
from reference_impl.stored_results import find, pieces_of

logger = logging.getLogger(__name__)

WAIT_S_MAX = 60.0
BODY_BYTES_MAX = 65_536
_DISCARDED_BYTES_MAX = 67_108_864
"""Who sends too much is heard out up to here, as an answer that comes before the end may get lost."""

_BROKER_S = 2.0


class Page(BaseModel):
    """A part of the list of tasks; `next` leads to the part after it."""

    tasks: list[StatusDocument]
    next: str | None


class Cancellation(BaseModel):
    """How to cancel."""

    terminate: bool = Field(default=False, description="end the task where it is executed, too")


def create_api(settings: Settings, app: Celery | None = None) -> FastAPI:
    """The API of one registry; `app` is how to reach its workers, to cancel what they execute.

    Raises ValueError where no token is set.
    """
    if not settings.api_tokens:
        raise ValueError("api_tokens is empty: nobody could use the API")
    engine = open_engine(settings, pool_size=10)
    changes = Changes(settings, engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        listening = asyncio.create_task(changes.run())
        yield
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        engine.dispose()

    api = FastAPI(
        title="Celery task tracker",
        version="1",
        docs_url=None,  # pages that load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        responses={code: {"model": Problem} for code in (400, 401, 413, 503)},
    )
    metrics = ApiMetrics(settings, changes)
    api.add_middleware(_Bounded)
    api.add_middleware(Counted, requests=metrics.requests)
    tell_problems(api)
    api.state.who_calls = who_calls(settings)
    _add_tasks(api, engine, changes)
    _add_results(api, engine, changes)
    _add_cancellation(api, engine, app)
    add_monitor(api, changes, api.state.who_calls)
    add_agents(api, engine, app)
    add_analyses(api, engine, app, settings)
    add_scheduler(api, engine, app, settings, metrics)
    add_health(api, engine, app, settings, changes)

    @api.get("/metrics", response_class=PlainTextResponse, responses={403: {"model": Problem}})
    def tell_prometheus(_: Overseer) -> Response:
        """For Prometheus, with a token that sees every task."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    describe_problems(api)
    return api


def serve(api: FastAPI, host: str, port: int) -> None:
    """Serve it until a signal ends it; whoever waits then is answered with what is known."""
    uvicorn.run(
        api,
        host=host,
        port=port,
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=2,
        ws="websockets-sansio",
        ws_max_size=4 * MESSAGE_CHARS_MAX,
    )


def _add_tasks(api: FastAPI, engine: Engine, changes: Changes) -> None:
    @api.get("/tasks")
    def list_tasks(
        caller: Caller,
        status: Annotated[list[Status] | None, Query()] = None,
        name: Name = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
        cursor: Cursor = None,
    ) -> Page:
        """The newest tasks first; a task keeps its place while it goes on."""
        after = place_of(cursor) if cursor else None
        with engine.connect() as connection:
            found = list_statuses(
                connection,
                owner=caller.owner,
                status=status or (),
                name=name,
                after=after,
                limit=limit,
                secrets=caller.secrets,
            )
        last = found[-1][0] if len(found) == limit else None
        return Page(tasks=[document for _, document in found], next=cursor_of(last) if last else None)

    @api.get("/tasks/{task_id}", responses={404: {"model": Problem}})
    async def get_status(
        task_id: TaskId, caller: Caller, wait: Annotated[float, Query(ge=0, le=WAIT_S_MAX)] = 0.0
    ) -> StatusDocument:
        """One task's status; `wait` holds the answer until the task has ended, for that many seconds at most."""
        return await _settled(engine, changes, task_id, caller, wait)


def _add_results(api: FastAPI, engine: Engine, changes: Changes) -> None:
    whys: dict[int | str, dict[str, Any]] = {
        202: {"model": StatusDocument},
        303: {"description": "It is large: its text is streamed from `Location`."},
        404: {"model": Problem},
        409: {"model": Problem},
        410: {"model": Problem},
    }

    @api.get("/tasks/{task_id}/result", responses=whys, response_model=None)
    async def get_result(
        task_id: TaskId, caller: Caller, wait: Annotated[float, Query(ge=0, le=WAIT_S_MAX)] = 0.0
    ) -> Response:
        """What the task returned, and nothing around it; `wait` as for the status."""
        status = await _settled(engine, changes, task_id, caller, wait)
        return await run_in_threadpool(_answer, engine, status)

    @api.get("/tasks/{task_id}/result/content", responses=whys, response_model=None)
    def get_content(task_id: TaskId, caller: Caller) -> Response:
        """The text of a result, streamed."""
        return _answer(engine, _read(engine, task_id, caller), stream=True)


def _answer(engine: Engine, status: StatusDocument, *, stream: bool = False) -> Response:
    """The result of a task, or why there is none."""
    if (answer := unless_succeeded(status)) is not None:
        return answer
    if status.result_state is ResultState.NOT_KEPT:
        raise ProblemError(
            409,
            "not-kept",
            "the task succeeded; its result was not kept here (ignore_result, too large, or stored by others)",
        )
    with engine.connect() as connection:
        row = find(connection, status.task_id)
    if row is None or row.expired or (row.body is None and row.body_id is None):
        times = {"completed_at": status.completed_at, "expired_at": status.result_expires_at}
        raise ProblemError(
            410, "expired", "the result was kept until it expired", **{k: v and v.isoformat() for k, v in times.items()}
        )
    digest = base64.b64encode(bytes.fromhex(row.sha256)).decode()
    headers = {"Content-Digest": f"sha-256=:{digest}:", "Result-Size": str(row.size_bytes)}
    if row.left_out:
        headers["Result-Partial"] = quote("; ".join(row.left_out)[:2000], safe=" :;._<>")
    if row.body is not None:
        return Response(bytes(row.body), 200, headers, "application/json")
    if not stream:
        return RedirectResponse(f"/tasks/{quote(status.task_id, safe='')}/result/content", 303, headers)
    headers["Content-Length"] = str(row.size_bytes)
    return StreamingResponse(pieces_of(engine, row.body_id), 200, headers, "application/json")


def _add_cancellation(api: FastAPI, engine: Engine, app: Celery | None) -> None:
    registry = Registry(engine)

    @api.post("/tasks/{task_id}/cancel", status_code=202, responses={404: {"model": Problem}, 409: {"model": Problem}})
    def cancel(task_id: TaskId, caller: Caller, how: Annotated[Cancellation | None, Body()] = None) -> StatusDocument:
        """Revoke what has not begun; with `terminate`, end what is executed, which its worker then tells."""
        status = _read(engine, task_id, caller)
        if status.status in ENDED:
            raise ProblemError(409, "ended", f"the task has ended already ({status.status})")
        running = status.status is Status.STARTED
        if running and not (how and how.terminate):
            raise ProblemError(409, "running", 'the task is executed; `{"terminate": true}` ends it')
        if running and app is None:
            raise ProblemError(409, "running", "this API knows no application by which to reach the task's worker")
        if not running:
            said = "cancelled through the API"
            event = Revoked(terminated=False)
            report = Report(task_id, event, "api", said, status.name, reason="revoked", error_message=said)
            decision = registry.apply(report).decision
            if isinstance(decision, Refusal):
                raise ProblemError(409, "running", decision.why)
        if app is not None:
            _tell_workers(app, task_id, terminate=running)
        return _read(engine, task_id, caller)


def _tell_workers(app: Celery, task_id: str, *, terminate: bool) -> None:
    """What has not begun is not begun by any worker that reads the registry, told or not."""
    try:
        within(_BROKER_S, "cancellation", lambda: app.control.revoke(task_id, terminate=terminate))
    except Exception as error:
        if terminate:
            raise ProblemError(503, "broker", "the broker cannot be reached, and only it reaches the worker") from error
        logger.warning("the workers cannot be told that %s is cancelled: %s", task_id, error)


async def _settled(engine: Engine, changes: Changes, task_id: str, caller: Token, wait_s: float) -> StatusDocument:
    """The status once the task has ended, or as it is when `wait_s` is over."""
    status = await run_in_threadpool(_read, engine, task_id, caller)
    if status.ready or wait_s <= 0:
        return status
    with changes.watching() as watcher, suppress(TimeoutError):
        changes.subscribe(watcher, task_id)
        async with asyncio.timeout(wait_s):
            while not status.ready:
                _, sighting = await watcher.next()
                if sighting is None:
                    raise _unknown(task_id)
                status = sighting.status
    return status


def _read(engine: Engine, task_id: str, caller: Token) -> StatusDocument:
    with engine.connect() as connection:
        status = read_status(connection, task_id, owner=caller.owner, secrets=caller.secrets)
    if status is None:
        raise _unknown(task_id)
    return status


def _unknown(task_id: str) -> ProblemError:
    return ProblemError(404, "unknown", f"no task {task_id!r} is known; it may have been forgotten long after its end")


class _Bounded:
    """A request's body is read up to a limit, whatever its length was said to be."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            while BODY_BYTES_MAX < read < _DISCARDED_BYTES_MAX and message.get("more_body"):
                message = await receive()
                read += len(message.get("body", b""))
            if read > BODY_BYTES_MAX:
                raise HTTPException(413, f"a request may have {BODY_BYTES_MAX} bytes")
            return message

        await self._app(scope, bounded, send)
