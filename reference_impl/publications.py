"""Publications that fail: Celery tells when a message is about to go out, and not when it did not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.utils import uuid

Tell = Callable[..., None]


def tell_failed_publications(app: Celery, tell: Tell) -> None:
    """Call `tell` with `task_id`, `name` and `error` when `app` fails to publish a task; the publisher gets the error.

    Every way to publish goes through `app.send_task`: tasks, canvas, retries, beat.
    """
    send = app.send_task

    @functools.wraps(send)
    def send_or_tell(
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: Any = None,
        eta: Any = None,
        task_id: str | None = None,
        *more: Any,
        **options: Any,
    ) -> Any:
        known = task_id or uuid()
        try:
            return send(name, args, kwargs, countdown, eta, known, *more, **options)
        except Exception as error:
            tell(task_id=known, name=name, error=error)
            raise

    app.send_task = send_or_tell
