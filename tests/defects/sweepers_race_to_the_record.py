"""Every worker sweeps on its own; only the record's lock decides between them, and each loser leaves an entry."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reference_impl import sweep


@contextmanager
def any_sweeper(engine: Any, _lease_s: float) -> Iterator[Any]:
    with engine.connect() as connection:
        yield connection


def apply() -> None:
    sweep.only_sweeper = any_sweeper
