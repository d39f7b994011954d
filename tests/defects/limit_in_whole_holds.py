"""Whoever waits looks at the clock between two messages only, and waits for each as long as it may take to come."""

import time
from collections.abc import Iterator
from typing import Any

from reference_impl.client import TrackerClient

HOLD_S = 6.0


def apply() -> None:
    pushed = TrackerClient._pushed

    def in_whole_holds(self: TrackerClient, task_id: str, deadline: float) -> Iterator[Any]:
        left = deadline - time.monotonic()
        return pushed(self, task_id, deadline + (HOLD_S - left if 0.5 < left < HOLD_S else 0.0))

    TrackerClient._pushed = in_whole_holds  # type: ignore[method-assign]
