"""A redelivered task is held for its unreadable revocation whatever the settings say."""

from typing import Any

from reference_impl import guard
from reference_impl.settings import Unreadable

await_as_told = guard.await_revocations


def hold_always(task: Any, ticket: Any, settings: Any) -> Any:
    return await_as_told(task, ticket, settings.model_copy(update={"unreadable_revocations": Unreadable.HOLD}))


def apply() -> None:
    guard.await_revocations = hold_always
