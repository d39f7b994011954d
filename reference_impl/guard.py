"""What stands before a task's body in a worker: what was revoked, or kills its workers, is not executed.

The guard wraps each task's `run`, as Celery's own `autoretry_for` does, so it holds for any task class: a hook
such as `before_start` is lost where a subclass forgets `super()`, or derives from `celery.Task` directly.
"""

from __future__ import annotations

import functools
import logging
import time
from typing import Any

from celery import Celery, Task
from celery.app.trace import task_has_custom
from celery.exceptions import Ignore

from reference_impl.settings import Settings, Unreadable
from reference_impl.ticket import Ticket

logger = logging.getLogger(__name__)

_STANDS = "_tracking_stands_before"
_EARLIER = ("before_start", "__call__")


class LostTooOftenError(Exception):
    """A task has taken its process with it as often as it may; it is not executed again."""


def guard_tasks(app: Celery, settings: Settings) -> None:
    """Guard every task of the application; called when a worker has loaded them, before it builds its tracers."""
    for task in app.tasks.values():
        _guard(task, settings)


def _guard(task: Task, settings: Settings) -> None:
    run = task.run

    @functools.wraps(run)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refuse_revoked(task, settings)
        return run(*args, **kwargs)

    setattr(guarded, _STANDS, True)
    task.run = guarded


def is_guarded(task: Task) -> bool:
    """Whether its start is waited for right before its body, and nothing of its own comes before that."""
    return getattr(task.run, _STANDS, False) and not any(task_has_custom(task, hook) for hook in _EARLIER)


def refuse_revoked(task: Task, settings: Settings) -> None:
    """Raise Ignore where the registry says REVOKED, and tell the result backend; LostTooOftenError past that bound."""
    request = task.request
    ticket: Ticket | None = getattr(request, "tracking_start", None)
    if ticket is None:
        return
    request.tracking_settle()
    if not ticket.answered and ticket.report.redelivered:
        ticket = await_revocations(task, ticket, settings)
    if ticket.outcome is None:
        return
    if ticket.outcome.losses >= settings.lost_attempts_max:
        raise LostTooOftenError(
            f"{ticket.outcome.losses} attempts were lost with the processes that executed them; it is not executed "
            f"again (lost_attempts_max is {settings.lost_attempts_max})"
        )
    if not ticket.outcome.may_run:
        logger.warning("tracking: task %s[%s] is not executed: it was revoked", task.name, request.id)
        task.backend.mark_as_revoked(request.id, reason="revoked", request=request, store_result=True)
        raise Ignore("revoked")


def await_revocations(task: Task, ticket: Ticket, settings: Settings) -> Ticket:
    """The ticket whose outcome tells whether it may run; one without, where the settings say to run anyway."""
    said = f"tracking: task {task.name}[{task.request.id}]"
    if ticket.wait(settings.revocation_wait_s) and ticket.answered:
        return ticket
    if settings.unreadable_revocations is Unreadable.RUN:
        logger.warning("%s runs although its revocation cannot be read", said)
        return ticket
    logger.warning("%s is held until its revocation can be read", said)
    ticket.wait(None)
    while not ticket.answered:
        # A report that was dropped tells nothing about revocations: it is made again, at a pace.
        time.sleep(settings.write_timeout_s)
        ticket = task.request.tracking_again()
        ticket.wait(None)
    return ticket
