"""The list is in the order in which tasks ended, in which they move while they finish."""

from sqlalchemy import text

from reference_impl import task_lines


def apply() -> None:
    known_at = "coalesce(queued_at, started_at, completed_at)"
    task_lines._PAGE = text(task_lines._PAGE.text.replace(known_at, "coalesce(completed_at, started_at, queued_at)"))
