"""Whoever waits for a task that somebody else ended: `.get()`, the rest of its chain, and its chord.

Celery tells them when a task's own process reports the end. A sweep has no such process and no message any more,
so an attempt keeps what its end would have to be told to.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from typing import Any

from celery import states
from celery.app.task import Context
from celery.backends.base import Backend
from celery.exceptions import TaskRevokedError
from celery.utils.serialization import create_exception_cls

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


def tell_done(backend: Backend, task_id: str, value: object, waiters: Mapping[str, Any] | None) -> None:
    """Store a result where it is waited for, and let the chord go on. Raises the backend's errors.

    The rest of a chain was published when the task returned: that needs the broker, and no result backend.
    """
    request = _request(task_id, waiters)
    backend.store_result(task_id, value, states.SUCCESS, request=request)
    if request.chord:
        backend.on_chord_part_return(request, states.SUCCESS, value)


def tell_failed(backend: Backend, task_id: str, kind: str, message: str, waiters: Mapping[str, Any] | None) -> None:
    """Store a failure where it is waited for, and let chord and chain end. Raises the backend's errors.

    Error callbacks are not called: what they were is not kept.
    """
    known = getattr(builtins, kind, None)
    own = known if isinstance(known, type) and issubclass(known, Exception) else create_exception_cls(kind, __name__)
    backend.mark_as_failure(task_id, own(message), request=_request(task_id, waiters), call_errbacks=False)


def tell_revoked(backend: Backend, task_id: str, reason: str, waiters: Mapping[str, Any] | None) -> None:
    """Store REVOKED where the result is waited for, and let chord and chain end. Raises the backend's errors.

    Error callbacks are not called: Celery does not call them for a revoked task either.
    """
    backend.mark_as_failure(
        task_id,
        TaskRevokedError(reason),
        request=_request(task_id, waiters),
        call_errbacks=False,
        state=states.REVOKED,
    )


def _request(task_id: str, waiters: Mapping[str, Any] | None) -> Context:
    return Context({**(waiters or {}), "id": task_id, "delivery_info": {}})
