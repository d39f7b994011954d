"""The last message of a socket has the type of an end, and the status as it was before it."""

from typing import Any

from reference_impl import monitor
from reference_impl.status import Sighting


def apply() -> None:
    message_of = monitor.message_of

    def before_the_end(sighting: Sighting) -> dict[str, Any]:
        message = message_of(sighting)
        return {**message, "status": "STARTED", "ready": False} if sighting.status.ready else message

    monitor.message_of = before_the_end
