"""The first heartbeat of an execution is read from the worker's own clock."""

from datetime import UTC, datetime
from typing import Any

from reference_impl import registry


def apply() -> None:
    start = registry._start

    def started(*args: Any) -> dict[str, Any]:
        return start(*args) | {"last_heartbeat": datetime.now(UTC)}

    registry._start = started
