"""Only ends are listened for: a task that gives its message back stays STARTED until it is delivered again."""

from typing import Any

from celery import states

from reference_impl import signals


def apply() -> None:
    left = signals.Handlers._left

    def unless_rejected(self: signals.Handlers, *, state: str, **given: Any) -> None:
        if state != states.REJECTED:
            left(self, state=state, **given)

    signals.Handlers._left = unless_rejected
