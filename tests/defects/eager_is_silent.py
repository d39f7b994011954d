"""Nobody is told that eager tasks have no worker."""

from typing import Any

from reference_impl import signals


def worker_id(self: Any, request: Any) -> str | None:
    return None if request.is_eager else str(request.hostname)


def apply() -> None:
    signals.Handlers._worker_id = worker_id
