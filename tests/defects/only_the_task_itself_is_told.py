"""The end of a swept task is stored under its own id; its chord counts on, and its chain waits."""

from collections.abc import Mapping
from typing import Any

from celery.backends.base import Backend

from reference_impl import results
from reference_impl.waiters import tell_revoked


def apply() -> None:
    def alone(backend: Backend, task_id: str, reason: str, _waiters: Mapping[str, Any] | None) -> None:
        tell_revoked(backend, task_id, reason, None)

    results.tell_revoked = alone
