"""The time of publication is read from the publisher's own clock."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import update

from reference_impl import registry
from reference_impl.models import TaskRecord


def apply() -> None:
    insert = registry._insert_published

    def inserted(connection: Any, report: Any) -> bool:
        done = insert(connection, report)
        if done:
            own = update(TaskRecord).where(TaskRecord.task_id == report.task_id)
            connection.execute(own.values(queued_at=datetime.now(UTC)))
        return bool(done)

    registry._insert_published = inserted
