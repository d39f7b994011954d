"""Whoever waits is told over the socket or not at all."""

from collections.abc import Iterator
from typing import Any

from reference_impl.client import TrackerClient, UnreachableError


def apply() -> None:
    def follow(self: TrackerClient, task_id: str, timeout_s: float = 300.0) -> Iterator[Any]:
        import time  # noqa: PLC0415 - of this defect alone

        status = None
        for status in self._pushed(task_id, time.monotonic() + timeout_s):
            yield status
        if status is None or not status.ready:
            raise UnreachableError("the socket was closed")

    TrackerClient.follow = follow  # type: ignore[method-assign]
