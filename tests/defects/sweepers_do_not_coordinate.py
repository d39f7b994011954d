"""Every worker sweeps on its own, and closes what it found a moment ago without looking again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reference_impl import lifecycle, sweep
from reference_impl.lifecycle import Decision, Status, Transition


@contextmanager
def any_sweeper(engine: Any, _lease_s: float) -> Iterator[Any]:
    with engine.connect() as connection:
        yield connection


def closed(*_: object, **__: object) -> Decision:
    return Transition(Status.REVOKED)


def apply() -> None:
    sweep.only_sweeper = any_sweeper
    lifecycle._worker_lost = closed
