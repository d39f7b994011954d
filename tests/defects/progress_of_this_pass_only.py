"""A sweep drops the progress of the tasks that it has closed itself, and of no others."""

from typing import Any

from reference_impl import agreement, closing


def apply() -> None:
    take_away = closing._take_away
    find = agreement.find_disagreements
    closed = set()

    def and_note(this: Any, row: Any, finding: Any) -> Any:
        closed.add(row.task_id)
        return take_away(this, row, finding)

    def of_this_pass(connection: Any, progress: Any, **how: Any) -> Any:
        found = [each for each in find(connection, progress, **how) if each.task_id in closed]
        closed.clear()
        return found

    closing._take_away = and_note
    agreement.find_disagreements = of_this_pass
