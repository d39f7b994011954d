"""Whether all is well: which stores answer, and whether they agree; for whoever watches over it, token or not."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from celery import Celery
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy import Engine

from reference_impl.bounded import NotInTimeError, within
from reference_impl.changes import Changes
from reference_impl.checkup import Checkup, look
from reference_impl.settings import Settings

ANSWER_S = 3.0
"""A database that has not answered by then is away."""
FRESH_S = 1.0
"""So long does one look answer for everybody: no number of requests makes more of them."""


class Health(BaseModel):
    """What is known of the stores; 503 where the database is away, or something is stale."""

    database: bool
    progress: bool | None = Field(description="whether the Redis that keeps progress answers; null where there is none")
    changes: bool = Field(description="whether it hears of changes; if not, whoever waits looks every second")
    stale: dict[str, int] = Field(description="what does not agree, by its kind, with how often; see `tasks check`")


_MUTE = Checkup((), {"database": f"no answer within {ANSWER_S:g} s"})


@dataclass
class _Looks:
    """The last look, and when it was."""

    engine: Engine
    app: Celery | None
    settings: Settings
    _last: tuple[float, Checkup] | None = None
    _looking: threading.Lock = field(default_factory=threading.Lock)

    def latest(self) -> Checkup:
        """One that is fresh; who comes while another one looks waits for that, and not for ever."""
        if not self._looking.acquire(timeout=ANSWER_S):
            return _MUTE
        if self._last is not None and time.monotonic() - self._last[0] < FRESH_S:
            self._looking.release()
            return self._last[1]
        try:
            return within(ANSWER_S, "health", self._look)
        except NotInTimeError:
            return _MUTE

    def _look(self) -> Checkup:
        """Whoever waits no more, the next one waits for the end of this: a frozen database is asked once."""
        try:
            seen = look(self.engine, self.app, self.settings)
            self._last = time.monotonic(), seen
            return seen
        finally:
            self._looking.release()


def add_health(api: FastAPI, engine: Engine, app: Celery | None, settings: Settings, changes: Changes) -> None:
    """`GET /health`, without a token: it names no task."""
    looks = _Looks(engine, app, settings)

    @api.get("/health", responses={200: {"model": Health}, 503: {"model": Health}})
    def health() -> Response:
        """Which stores answer, and whether they agree."""
        seen = looks.latest()
        answers = seen.stores["database"] is None
        progress = seen.stores["progress"] is None if "progress" in seen.stores else None
        stale = Counter(str(each.kind) for each in seen.stale)
        told = Health(database=answers, progress=progress, changes=changes.connected, stale=dict(stale))
        return JSONResponse(told.model_dump(), 200 if answers and not stale else 503)
