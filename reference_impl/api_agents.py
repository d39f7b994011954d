"""What a frontend shows of agents: what each is doing, and how it ended when it is idle."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Any

from celery import Celery
from fastapi import FastAPI, Path
from pydantic import BaseModel, Field
from sqlalchemy import Engine, Row

from reference_impl.agent_progress import Entry, ProgressAwayError
from reference_impl.agent_rows import agents
from reference_impl.agents import NAME_CHARS_MAX, progress_of
from reference_impl.api_callers import Overseer
from reference_impl.api_problems import Problem, ProblemError

logger = logging.getLogger(__name__)

AgentName = Annotated[str, Path(min_length=1, max_length=NAME_CHARS_MAX, pattern=r"^[^\x00-\x1f/]+$")]


class AgentDocument(BaseModel):
    """One agent; times are in UTC."""

    name: str
    is_running: bool
    current_task_id: str | None
    current_phase_message: str | None
    progress: dict[str, Any] | None = Field(description="of `current`, `total`, `percent` and `message` what is known")
    progress_known: bool = Field(description="whether the store that keeps progress could be asked")
    last_update: datetime
    last_task_id: str | None = Field(description="of the run that ended last")
    last_error: str | None = Field(description="why that run failed, where it did")


class Agents(BaseModel):
    """Every agent that has ever run, by name."""

    agents: list[AgentDocument]


def add_agents(api: FastAPI, engine: Engine, app: Celery | None) -> None:
    """`GET /agents` and `GET /agents/{name}`, for tokens that see every task."""
    refusals: dict[int | str, dict[str, Any]] = {403: {"model": Problem}}

    def read(name: str | None = None) -> list[AgentDocument]:
        with engine.connect() as connection:
            rows = agents(connection, name)
        progress = _progress(app, [row.current_task_id for row in rows if row.is_running])
        return [_document(row, progress) for row in rows]

    @api.get("/agents", responses=refusals)
    def list_agents(_: Overseer) -> Agents:
        """What every agent is doing."""
        return Agents(agents=read())

    @api.get("/agents/{name}", responses=refusals | {404: {"model": Problem}})
    def get_agent(name: AgentName, _: Overseer) -> AgentDocument:
        """What one agent is doing."""
        found = read(name)
        if not found:
            raise ProblemError(404, "unknown", f"no agent {name!r} has ever run")
        return found[0]


def _progress(app: Celery | None, task_ids: list[str]) -> dict[str, Entry] | None:
    """The progress of these tasks' runs; None where it cannot be asked for."""
    store = progress_of(app)
    if store is None:
        return None
    try:
        return store.of(task_ids)
    except ProgressAwayError as error:
        logger.warning("the progress of agents cannot be read: %s", error)
        return None


def _document(row: Row[Any], progress: dict[str, Entry] | None) -> AgentDocument:
    entry = (progress or {}).get(row.current_task_id)
    ours = entry is not None and (entry.agent, entry.attempt_id) == (row.name, row.current_attempt_id)
    return AgentDocument(
        name=row.name,
        is_running=row.is_running,
        current_task_id=row.current_task_id,
        current_phase_message=row.current_phase_message,
        progress=dict(entry.told) if entry is not None and ours else None,
        progress_known=progress is not None,
        last_update=row.last_update,
        last_task_id=row.last_task_id,
        last_error=row.last_error,
    )
