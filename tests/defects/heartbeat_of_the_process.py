"""The first heartbeat of an execution is read from the worker's own clock."""

from datetime import UTC, datetime
from typing import Any

from reference_impl import columns


def apply() -> None:
    start = columns._start

    def started(*args: Any) -> dict[str, Any]:
        return start(*args) | {"last_heartbeat": datetime.now(UTC)}

    columns._start = started
