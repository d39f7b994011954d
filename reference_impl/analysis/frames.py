"""Which of the frames that an analyser service sends is its answer. No I/O but the log.

A frame is a JSON object with a `type`. Frames of other tasks may come in between, progress may come for ever, and the
end may come twice, or not at all. The frame whose type ends in `_analysis_result` is the answer, whatever came before
it; without one, the first frame that has an `analysis` is what is left of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reference_impl.storable import plain, readable

logger = logging.getLogger(__name__)

END = "_analysis_result"
NO_RESPONSE = "no_response"
_PAYLOADS = ("analysis", "result")


class Outcome(StrEnum):
    """How a service has ended."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    ERROR = "error"


@dataclass(frozen=True)
class Choice:
    """What a service's frames come to; `error` says why there is nothing, or not all."""

    service: str
    outcome: Outcome
    payload: Any = None
    error: str | None = None


class Frames:
    """Those of one service about one task, as they come."""

    def __init__(self, service: str, task_id: str) -> None:
        self._service, self._task_id = service, task_id
        self._count = 0
        self._first: Any = None
        self._has_first = False
        self._end: Choice | None = None

    def hear(self, text: str | bytes) -> bool:
        """Take a frame; whether it is the end."""
        self._count += 1
        frame = _object(text)
        kind = self._take(frame)
        said = frame.get("type") if frame is not None else None
        logger.debug(
            "analysis: %s about task %s: frame %d, %d bytes, type %s: %s",
            self._service,
            self._task_id,
            self._count,
            len(text),
            readable(said, limit=100),
            kind,
        )
        return self._end is not None

    def choose(self, why: str) -> Choice:
        """What counts, now that nothing more is heard, and `why`."""
        if self._end is not None:
            choice = self._end
        elif self._has_first:
            choice = Choice(self._service, Outcome.INCOMPLETE, self._first, why)
        else:
            choice = Choice(self._service, Outcome.ERROR, error=NO_RESPONSE)
        logger.debug(
            "analysis: %s about task %s: chose %s out of %d frames: %s",
            self._service,
            self._task_id,
            choice.outcome,
            self._count,
            why,
        )
        return choice

    def _take(self, frame: Mapping[str, Any] | None) -> str:
        if frame is None:
            return "no frame"
        if frame.get("task_id", self._task_id) != self._task_id:
            return "of another task"
        payload = next((frame[name] for name in _PAYLOADS if name in frame), None)
        kind = frame.get("type")
        if isinstance(kind, str) and kind.endswith(END):
            self._end = self._ended(frame, payload)
            return "the end"
        if "analysis" in frame:
            if self._has_first:
                return "a part, and not the first"
            self._first, self._has_first = payload, True
            return "a part"
        return "progress"

    def _ended(self, frame: Mapping[str, Any], payload: Any) -> Choice:
        if frame.get("status") == "error":
            return Choice(self._service, Outcome.ERROR, payload, readable(frame.get("error") or "error", limit=500))
        return Choice(self._service, Outcome.COMPLETED, payload)


def _object(text: str | bytes) -> dict[str, Any] | None:
    try:
        frame = json.loads(text, parse_constant=str)
        return plain(frame) if isinstance(frame, dict) else None
    except (ValueError, RecursionError):
        return None
