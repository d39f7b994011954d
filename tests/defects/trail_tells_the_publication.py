"""Every entry of the trail has the time of the publication, which the record happens to have at hand."""

from typing import Any

from sqlalchemy import select

from reference_impl import registry
from reference_impl.models import TaskRecord


def apply() -> None:
    audit = registry._audit

    def as_published(connection: Any, report: Any, decision: Any, before: Any, at: Any, remark: Any) -> None:
        queued_at = connection.scalar(select(TaskRecord.queued_at).where(TaskRecord.task_id == report.task_id))
        audit(connection, report, decision, before, queued_at or at, remark)

    registry._audit = as_published
