"""The end of a swept task is stored under its own id; its chord counts on, and its chain waits."""

from collections.abc import Mapping
from typing import Any

from celery import Celery

from reference_impl import sweep
from reference_impl.waiters import tell_revoked


def apply() -> None:
    def alone(app: Celery, task_id: str, reason: str, _waiters: Mapping[str, Any] | None) -> None:
        tell_revoked(app, task_id, reason, None)

    sweep.tell_revoked = alone
