"""An agent keeps the error of its last run that failed, whatever came after it."""

from sqlalchemy import text

from reference_impl import agent_rows


def apply() -> None:
    kept = agent_rows._LET_GO.replace("last_error = :error", "last_error = coalesce(:error, last_error)")
    agent_rows._END = text(
        f"{kept} AND name = :name AND current_attempt_id IS NOT DISTINCT FROM :attempt_id RETURNING name"
    )
