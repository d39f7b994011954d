"""The view of somebody who runs the system: the situation at a glance, and the list of tasks behind it."""

from __future__ import annotations

from typing import Annotated

from celery import Celery
from fastapi import FastAPI, Query
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import Engine, text

from reference_impl.api_callers import Overseer
from reference_impl.api_metrics import ApiMetrics
from reference_impl.api_pages import PAGE_MAX, Cursor, Name, cursor_of, place_of
from reference_impl.api_problems import Problem
from reference_impl.settings import Settings
from reference_impl.shown import Word
from reference_impl.sitrep import RECENT_MAX, Sitreps
from reference_impl.sitrep_document import Sitrep
from reference_impl.task_lines import Filter, TaskLine, page

_PAGE_MS = 5000
"""A name that nobody has may take a look at every task; so long, and no longer."""


class Lines(BaseModel):
    """A part of the list; `next` leads to the part after it."""

    tasks: list[TaskLine]
    next: str | None


def add_scheduler(api: FastAPI, engine: Engine, app: Celery | None, settings: Settings, metrics: ApiMetrics) -> None:
    """`GET /scheduler/sitrep` and `GET /scheduler/tasks`, for tokens that see every task."""
    sitreps = Sitreps(engine, app, settings, metrics.sitrep)

    @api.get("/scheduler/sitrep", responses={403: {"model": Problem}})
    def sitrep(_: Overseer, limit: Annotated[int, Query(ge=1, le=RECENT_MAX)] = 20) -> Sitrep:
        """How many tasks there are of which kind, and which were executed last; whatever is away is told."""
        return sitreps.latest(limit)

    @api.get("/scheduler/tasks", responses={403: {"model": Problem}})
    def list_lines(
        caller: Overseer,
        status: Annotated[list[Word] | None, Query()] = None,
        name: Name = None,
        since: Annotated[AwareDatetime | None, Query(description="first heard of at this moment or later")] = None,
        until: Annotated[AwareDatetime | None, Query(description="first heard of before this moment")] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
        cursor: Cursor = None,
    ) -> Lines:
        """The newest tasks first; a task keeps its place while it goes on."""
        asked = Filter(status or (), name, since, until)
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = {_PAGE_MS}"))
            found = page(connection, asked, caller.secrets, after=place_of(cursor) if cursor else None, limit=limit)
        last = found[-1][0] if len(found) == limit else None
        return Lines(tasks=[line for _, line in found], next=cursor_of(last) if last else None)
