"""Waiting with a bound for libraries that may wait without one, whatever time-out they are given."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotInTimeError(Exception):
    """The work goes on, longer than its bound; not a library's own time-out, which is an answer."""


def within(timeout_s: float, what: str, work: Callable[[], T]) -> T:
    """What `work` gives, in a thread of its own named after `what`; after a time-out it goes on, and nobody listens.

    Raises NotInTimeError, or whatever `work` raises.
    """
    done: list[T] = []
    failed: list[Exception] = []

    def attempt() -> None:
        try:
            done.append(work())
        except Exception as error:  # noqa: BLE001 - raised below, where somebody waits for it
            failed.append(error)

    thread = threading.Thread(target=attempt, name=f"celery-tracker {what}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if failed:
        raise failed[0]
    if not done:
        raise NotInTimeError(f"no answer within {timeout_s:g} s")
    return done[0]
