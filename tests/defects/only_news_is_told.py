"""Whoever begins to watch is told of changes, and not of what has changed since he looked himself."""

from reference_impl.changes import Changes, Watcher


def apply() -> None:
    def subscribe(self: Changes, watcher: Watcher, task_id: str, after: int = -1) -> None:
        watcher.expect(task_id, after)
        self._watchers[task_id].add(watcher)

    Changes.subscribe = subscribe  # type: ignore[method-assign]
