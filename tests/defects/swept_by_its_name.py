"""A sweep that closes a record makes the agent idle that the record names, whoever runs it by then."""

from typing import Any

from sqlalchemy import text

from reference_impl import agent_rows, registry
from reference_impl.lifecycle import WorkerLost

_BY_NAME = text("""
    UPDATE celery_agent
    SET is_running = false, current_task_id = NULL, current_attempt_id = NULL, current_phase_message = NULL,
        last_update = :at, last_task_id = :task_id, last_error = :error
    WHERE name = :name AND is_running RETURNING name
""")


def apply() -> None:
    move = registry._move_agents

    def by_name(connection: Any, report: Any, decision: Any, row: Any, at: Any) -> Any:
        if not isinstance(report.event, WorkerLost) or row.agent is None:
            return move(connection, report, decision, row, at)
        values = {"name": row.agent, "task_id": report.task_id, "error": report.error_message, "at": at}
        return agent_rows._let_go(connection.execute(_BY_NAME, values).scalars())

    registry._move_agents = by_name
