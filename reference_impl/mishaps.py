"""What goes wrong with tracking itself: one line in the log and a count, and never an exception for anybody else."""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reference_impl import metrics
from reference_impl.reports import Report

logger = logging.getLogger(__name__)


def guarded(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A signal handler that never raises: a failure becomes one ERROR line that names the handler and the cause."""

    def decorate(handler: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(handler)
        def guard(*args: object, **kwargs: object) -> None:
            try:
                handler(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - tracking trouble must never become the task's
                logger.error(
                    "tracking: %s of task %s failed: %s: %s", what, _task_of(kwargs), type(error).__name__, error
                )
                metrics.tracking_failed()

        return guard

    return decorate


def _task_of(signal: Mapping[str, Any]) -> object:
    """The id of the task that a signal is about, wherever this kind of signal carries it."""
    headers = signal.get("headers")
    request = signal.get("request") or getattr(signal.get("sender"), "request", None)
    published = headers.get("id") if isinstance(headers, Mapping) else None
    return signal.get("task_id") or published or getattr(request, "id", None)


@contextmanager
def mistakes_told() -> Iterator[None]:
    """A mistake of ours must not stand in the way of the next report."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever it is
        traceback.print_exc()
        metrics.tracking_failed()


def tell_failure(report: Report, cause: str, level: int = logging.ERROR) -> None:
    """A report was not recorded, at all or not yet."""
    metrics.tracking_failed()
    logger.log(
        level,
        "tracking: %s of task %s[%s] was not recorded: %s",
        type(report.event).__name__,
        report.task_name,
        report.task_id,
        " ".join(cause.split()),
    )
