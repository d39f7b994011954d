"""Whoever waits for a task that somebody else ended: `.get()`, the rest of its chain, and its chord.

Celery tells them when a task's own process reports the end. A sweep has no such process and no message any more,
so an attempt keeps what its end would have to be told to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from celery import states
from celery.app.task import Context
from celery.backends.base import Backend
from celery.exceptions import TaskRevokedError

_NAMES = ("group", "group_index", "chord", "chain", "root_id", "parent_id")


def waiting_for(request: Any, *, limit_bytes: int) -> dict[str, Any] | None:
    """What of a request tells who waits for it; None for a task that stands alone, or where it is over the limit."""
    if not (request.chord or request.chain):
        return None
    known = {name: getattr(request, name) for name in _NAMES if getattr(request, name, None) is not None}
    try:
        text = json.dumps(known)
    except (TypeError, ValueError):
        return None
    return dict(json.loads(text)) if len(text) <= limit_bytes else None


def tell_revoked(backend: Backend, task_id: str, reason: str, waiters: Mapping[str, Any] | None) -> None:
    """Store REVOKED where the result is waited for, and let chord and chain end. Raises the backend's errors.

    Error callbacks are not called: Celery does not call them for a revoked task either.
    """
    request = Context({**(waiters or {}), "id": task_id, "delivery_info": {}})
    backend.mark_as_failure(
        task_id, TaskRevokedError(reason), request=request, call_errbacks=False, state=states.REVOKED
    )
