"""Sessions of the tracker last as long as their processes: a sweeper that stands still keeps the sweeps' lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine

from reference_impl import connections, sweep
from reference_impl.settings import Settings

only_sweeper = sweep.only_sweeper
open_patient = connections._open_engine


@contextmanager
def for_ever(engine: Engine, _lease_s: float) -> Iterator[Connection | None]:
    with only_sweeper(engine, 0.0) as lock:
        yield lock


def without_an_end(settings: Settings, pool_size: int, _options: str = "", **more: Any) -> Engine:
    return open_patient(settings, pool_size, **more)


def apply() -> None:
    sweep.only_sweeper = for_ever
    connections._open_engine = without_an_end
