"""Pages of a list whose order does not move: where one ends is a cursor, with which to ask for the next."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated

from fastapi import Query

from reference_impl.api_problems import ProblemError
from reference_impl.status import Place
from reference_impl.storable import is_task_id

PAGE_MAX = 500

Name = Annotated[str | None, Query(max_length=500, pattern=r"^[^\x00]*$")]
Cursor = Annotated[str | None, Query(max_length=2000)]


def cursor_of(place: Place) -> str:
    """The place, as a text that a caller gives back."""
    return base64.urlsafe_b64encode(json.dumps([place.at.isoformat(), place.task_id]).encode()).decode()


def place_of(cursor: str) -> Place:
    """The place that a caller gives back. Raises ProblemError where it is none."""
    try:
        at, task_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        moment = datetime.fromisoformat(at)
    except (ValueError, TypeError, binascii.Error) as error:
        raise ProblemError(400, "cursor", "`cursor` is none that this API gave") from error
    if not is_task_id(task_id) or moment.tzinfo is None:
        raise ProblemError(400, "cursor", "`cursor` is none that this API gave")
    return Place(moment, task_id)
