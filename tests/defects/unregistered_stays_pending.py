"""A worker that does not know a task has nothing to track: the record stays PENDING."""

from typing import Any

from reference_impl import signals


def apply() -> None:
    def nothing(self: signals.Handlers, **_: Any) -> None:
        """No task, no report."""

    signals.Handlers._unknown = nothing
