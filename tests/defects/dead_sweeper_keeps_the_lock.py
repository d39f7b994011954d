"""Postgres may take hours to miss a peer that says nothing: a sweeper that is cut off keeps the lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine

from reference_impl import connections, sweep
from reference_impl.settings import Settings

only_sweeper = sweep.only_sweeper
open_watched = connections._open_engine


@contextmanager
def until_it_ends(engine: Engine, _lease_s: float) -> Iterator[Connection | None]:
    with only_sweeper(engine, 0.0) as lock:
        yield lock


def unwatched(settings: Settings, pool_size: int, _options: str = "", **more: Any) -> Engine:
    return open_watched(settings, pool_size, **more)


def apply() -> None:
    connections._silence_ends_a_session = lambda _lease_s: ""
    connections._open_engine = unwatched
    sweep.only_sweeper = until_it_ends
