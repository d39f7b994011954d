"""What every endpoint about one task has in common: how it is named, and the answer where it has not succeeded."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from fastapi.responses import Response

from reference_impl.api_problems import ProblemError
from reference_impl.status import StatusDocument

TaskId = Annotated[str, Path(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f/]+$")]


def unless_succeeded(status: StatusDocument, what: str = "task") -> Response | None:
    """The answer as long as it has not ended; None after a success. Raises ProblemError after any other end."""
    if not status.ready:
        return Response(status.model_dump_json(), 202, {"Retry-After": "1"}, "application/json")
    if not status.successful:
        assert status.error is not None
        raise ProblemError(
            409, status.error.code, f"the {what} ended as {status.status}", error=status.error.model_dump(mode="json")
        )
    return None
