"""The list is in the order in which tasks ended, in which they move while they finish."""

from reference_impl import task_lines


def apply() -> None:
    known_at, ended_at = (
        "coalesce(queued_at, started_at, completed_at)",
        "coalesce(completed_at, started_at, queued_at)",
    )
    task_lines._ORDER = task_lines._ORDER.replace(known_at, ended_at)
    task_lines._SELECT = task_lines._SELECT.replace(known_at, ended_at)
    task_lines._CONDITIONS = {name: text.replace(known_at, ended_at) for name, text in task_lines._CONDITIONS.items()}
