"""Waiting with a bound for libraries that may wait without one, whatever time-out they are given."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotInTimeError(Exception):
    """The work goes on, longer than its bound; not a library's own time-out, which is an answer."""


class Alone:
    """One piece of work at a time, with a bound: while an earlier one hangs, another is not begun."""

    def __init__(self) -> None:
        self._busy = threading.Lock()

    def within(self, timeout_s: float, what: str, work: Callable[[], T]) -> T:
        """As the function of this name. Raises NotInTimeError at once where an earlier one has not come to its end."""
        if not self._busy.acquire(blocking=False):
            raise NotInTimeError("it has not answered an earlier question yet")

        def guarded() -> T:
            try:
                return work()
            finally:
                self._busy.release()

        return within(timeout_s, what, guarded)


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
