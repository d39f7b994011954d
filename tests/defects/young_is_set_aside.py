"""A dead worker's task that is too young to be closed is set aside as a retry until it is old enough."""

from typing import Any

from sqlalchemy import text

from reference_impl import closing, sweep_report
from reference_impl.columns import AWAITING_REDELIVERY
from reference_impl.liveness import Liveness

SET_ASIDE = text("""
    UPDATE celery_task_registry
    SET status = 'RETRY', detail = :detail, eta = started_at + make_interval(secs => :minimum_age_s)
    WHERE task_id = :task_id AND status = 'STARTED'
        AND started_at > clock_timestamp() - make_interval(secs => :minimum_age_s)
""")


def apply() -> None:
    close = closing._close

    def set_aside(this: closing.Pass, row: Any, verdict: Any) -> sweep_report.Finding:
        if verdict[0] is Liveness.DEAD:
            values = {
                "detail": AWAITING_REDELIVERY,
                "minimum_age_s": this.settings.minimum_age_s,
                "task_id": row.task_id,
            }
            with this.engine.begin() as connection:
                connection.execute(SET_ASIDE, values)
        return close(this, row, verdict)

    closing._close = set_aside
