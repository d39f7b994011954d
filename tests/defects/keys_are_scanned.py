"""Whoever looks for results walks through all keys, a few at a time."""

from typing import Any

from reference_impl.noted_results import Noted, Notes


def apply() -> None:
    count = Notes.count

    def counted(self: Any) -> Noted:
        for _ in self._client.scan_iter("celery-task-meta-*", count=1000):
            pass
        return count(self)

    Notes.count = counted  # type: ignore[method-assign]
