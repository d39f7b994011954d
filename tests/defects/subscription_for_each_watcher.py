"""Each watcher listens at the database for itself."""

import psycopg

from reference_impl.changes import Changes, Watcher


def apply() -> None:
    subscribe = Changes.subscribe

    def with_a_connection(self: Changes, watcher: Watcher, task_id: str, after: int = -1) -> None:
        if len(self._watchers) + len(self._watchers.get(task_id, ())) < 20:
            connection = psycopg.connect(self._conninfo, autocommit=True)
            connection.execute("LISTEN celery_task_changed")
            watcher.connection = connection  # type: ignore[attr-defined]
        subscribe(self, watcher, task_id, after)

    Changes.subscribe = with_a_connection  # type: ignore[method-assign]
