"""What is shown as recent comes in the order of ids."""

from sqlalchemy import text

from reference_impl import task_lines


def apply() -> None:
    by_end = task_lines._NEWEST_ENDS.text
    task_lines._NEWEST_ENDS = text(by_end.replace("completed_at DESC, task_id DESC", "task_id"))
