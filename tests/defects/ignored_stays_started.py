"""Whatever raises Ignore is ignored by the tracker as well: its record stays STARTED."""

from typing import Any

from celery import states

from reference_impl import signals


def apply() -> None:
    left = signals.Handlers._left

    def unless_ignored(self: signals.Handlers, *, state: str, **given: Any) -> None:
        if state != states.IGNORED:
            left(self, state=state, **given)

    signals.Handlers._left = unless_ignored
