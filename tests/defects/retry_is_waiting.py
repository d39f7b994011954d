"""A task that waits for its next attempt is shown as if it had not begun."""

from reference_impl import shown
from reference_impl.lifecycle import Status


def apply() -> None:
    shown._WORDS[Status.RETRY] = shown.Word.PENDING
