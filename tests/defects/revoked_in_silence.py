"""A revoked task is not executed, and whoever waits for its result is not told."""

from typing import Any

from celery.backends.base import Backend

from reference_impl import sweep


def tell_nobody(*_arguments: Any, **_options: Any) -> None:
    return None


def apply() -> None:
    Backend.mark_as_revoked = tell_nobody
    sweep.tell_result_backend = tell_nobody
