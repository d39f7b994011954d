"""The time of publication is read from the publisher's own clock."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import update

from reference_impl import ordinary
from reference_impl.models import TaskRecord


def apply() -> None:
    publish = ordinary._publish

    def published(connection: Any, report: Any) -> Any:
        outcome = publish(connection, report)
        if outcome is not None:
            own = update(TaskRecord).where(TaskRecord.task_id == report.task_id)
            connection.execute(own.values(queued_at=datetime.now(UTC)))
        return outcome

    ordinary._publish = published
