"""Whoever looks for results asks for all keys that look like one."""

from typing import Any

from reference_impl.noted_results import Noted, Notes


def apply() -> None:
    count = Notes.count

    def counted(self: Any) -> Noted:
        self._client.keys("celery-task-meta-*")
        return count(self)

    Notes.count = counted  # type: ignore[method-assign]
