"""The task base class that an installed tracker gives an application: a start that asks the registry first."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Task
from celery.exceptions import Ignore

from reference_impl.recorder import Ticket
from reference_impl.settings import Settings, Unreadable

logger = logging.getLogger(__name__)


class TrackedTask(Task):
    """Does not execute what a sweep has revoked.

    A task class with a `before_start` of its own calls `super().before_start(...)` to keep this.
    """

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Raise Ignore where the registry says REVOKED; the result backend says so too."""
        ticket: Ticket | None = getattr(self.request, "tracking_start", None)
        settings: Settings | None = getattr(self.app, "tracking_settings", None)
        if ticket is None or settings is None:
            return
        if not ticket.answered and ticket.report.redelivered:
            ticket = self._await_revocations(task_id, ticket, settings)
        if ticket.outcome is not None and not ticket.outcome.may_run:
            logger.warning("tracking: task %s[%s] is not executed: it was revoked", self.name, task_id)
            self.backend.mark_as_revoked(task_id, reason="revoked", request=self.request, store_result=True)
            raise Ignore("revoked")
        super().before_start(task_id, args, kwargs)

    def _await_revocations(self, task_id: str, ticket: Ticket, settings: Settings) -> Ticket:
        """The ticket whose outcome tells whether it may run; one without, where the settings say to run anyway."""
        if ticket.wait(settings.revocation_wait_s) and ticket.answered:
            return ticket
        if settings.unreadable_revocations is Unreadable.RUN:
            logger.warning("tracking: task %s[%s] runs although its revocation cannot be read", self.name, task_id)
            return ticket
        logger.warning("tracking: task %s[%s] is held until its revocation can be read", self.name, task_id)
        ticket.wait(None)
        while not ticket.answered:
            # A report that was dropped tells nothing about revocations: it is made again, at a pace.
            time.sleep(settings.write_timeout_s)
            ticket = self.request.tracking_again()
            ticket.wait(None)
        return ticket
