"""Postgres may take hours to miss a peer that says nothing: a sweeper that is cut off keeps the lock."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from reference_impl import connections, sweep

only_sweeper = sweep.only_sweeper


@contextmanager
def until_it_ends(engine: Engine, _lease_s: float) -> Iterator[Connection | None]:
    with only_sweeper(engine, 0.0) as lock:
        yield lock


def apply() -> None:
    connections._silence_ends_a_session = lambda _lease_s: ""
    connections._stillness_ends_a_session = lambda _lease_s: ""
    sweep.only_sweeper = until_it_ends
