"""How a task is shown to somebody who runs the system: a word for its state, a name and an error that can be read.

No I/O. What comes in may be anybody's: stored by an older version, by hand, or broken.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from reference_impl.lifecycle import Status
from reference_impl.masking import masked
from reference_impl.storable import readable

ERROR_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 200

_STATE = re.compile(r"[A-Z][A-Z0-9_.-]{0,63}")
_TRACEBACK = "Traceback (most recent call last)"
_SAID_UNDER = ("exc_message", "error", "message", "detail")


class Word(StrEnum):
    """What a state is called here."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_WORDS = {
    Status.PENDING: Word.PENDING,
    Status.STARTED: Word.IN_PROGRESS,
    Status.RETRY: Word.IN_PROGRESS,
    Status.SUCCESS: Word.COMPLETED,
    Status.FAILURE: Word.FAILED,
    Status.REVOKED: Word.CANCELLED,
}


def word_of(status: Status) -> Word:
    """The word for a status."""
    return _WORDS[status]


def statuses_of(words: Collection[Word]) -> list[Status]:
    """The statuses that are called so."""
    return [status for status, word in _WORDS.items() if word in words]


def is_state(value: object) -> bool:
    """Whether Celery could have stored it as a state: one of its own, or one that a task has made up."""
    return isinstance(value, str) and _STATE.fullmatch(value) is not None


def name_of(task_name: str | None) -> str | None:
    """The last part of a dotted path, in words: `Send invoice` of `shop.tasks.send_invoice`."""
    if not task_name:
        return None
    last = task_name.rstrip(".").rpartition(".")[2] or task_name
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", last)
    words = [word if word.isupper() and len(word) > 1 else word.lower() for word in re.split(r"[\s_-]+", spaced)]
    said = " ".join(word for word in words if word)
    return said[:1].upper() + said[1:] if said else task_name


def description_of(task_name: str | None, args: Any, kwargs: Any) -> str:
    """Its name with its arguments, in their stored form, on one line."""
    given = [_brief(value) for value in args] if isinstance(args, list) else []
    given += [f"{name}={_brief(value)}" for name, value in kwargs.items()] if _is_whole(kwargs) else []
    if not isinstance(args, list | None) or not (kwargs is None or _is_whole(kwargs)):
        given.append("...")
    said = f"{name_of(task_name) or 'A task whose name is not known'} ({', '.join(given)})"
    return _cut(" ".join(said.split()), DESCRIPTION_CHARS_MAX)


def error_in(result: object) -> tuple[str | None, str | None]:
    """The type and the message of what is stored as the result of a failure: an exception, text, or anything else."""
    match result:
        case None:
            return None, None
        case BaseException():
            return type(result).__name__, readable(result)
        case str():
            return None, result
        case Mapping():
            kind = result.get("exc_type")
            said = next((result[name] for name in _SAID_UNDER if result.get(name) is not None), None)
            if isinstance(said, list | tuple):
                said = ", ".join(readable(part) for part in said)
            told = readable(said) if said is not None else json.dumps(result, default=str)
            return (kind if isinstance(kind, str) else None), told
        case _:
            return None, readable(result)


def error_line(kind: str | None, said: str | None, secrets: Collection[str]) -> str | None:
    """The one line that tells most: of a traceback its end, of other text its beginning; secrets are masked."""
    lines = [line.rstrip() for line in (said or "").splitlines() if line.strip()]
    begins = [number for number, line in enumerate(lines) if line.lstrip().startswith(_TRACEBACK)]
    if begins:
        ends = [line for line in lines[begins[-1] + 1 :] if not line[0].isspace()]
        line = ends[0] if ends else lines[-1]  # what follows belongs to a message of several lines
    else:
        line = lines[0] if lines else ""
    line = masked(line.strip(), secrets)
    if kind and not line.startswith(kind):
        line = f"{kind}: {line}" if line else kind
    return _cut(line, ERROR_CHARS_MAX) if line else None


def moment_of(value: object) -> datetime | None:
    """A moment in UTC, from text in ISO 8601, seconds since 1970, or a datetime; without a zone it is taken as UTC.

    None where it is none of these.
    """
    try:
        match value:
            case bool():
                return None
            case datetime():
                moment = value
            case str():
                moment = datetime.fromisoformat(value.strip())
            case int() | float() if math.isfinite(value):
                moment = datetime.fromtimestamp(value, UTC)
            case _:
                return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _is_whole(kwargs: Any) -> bool:
    return isinstance(kwargs, dict) and kwargs.get("truncated") is not True


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _cut(text, 60)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
