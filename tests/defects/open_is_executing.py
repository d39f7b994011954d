"""The open tasks are counted by their open attempts, so what waits in a queue or for its retry is not among them."""

from sqlalchemy import text

from reference_impl import metrics


def apply() -> None:
    metrics._COUNT_OPEN = text("""
        SELECT r.status, count(*) AS tasks FROM celery_task_attempt a JOIN celery_task_registry r USING (task_id)
        WHERE a.ended_at IS NULL AND r.status = ANY(:open) GROUP BY r.status
    """)
