"""A redelivered task whose revocation cannot be read is dropped."""

from typing import Any

from celery.exceptions import Ignore

from reference_impl import guard


def drop(_task: Any, ticket: Any, settings: Any) -> Any:
    if ticket.wait(settings.revocation_wait_s) and ticket.answered:
        return ticket
    raise Ignore("unreadable")


def apply() -> None:
    guard.await_revocations = drop
