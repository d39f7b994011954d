"""Only tasks whose class comes from the application are kept from executing."""

from typing import Any

from reference_impl import guard

guard_any = guard._guard


def guard_plain(task: Any, settings: Any) -> None:
    if task.app.Task in type(task).__bases__:
        guard_any(task, settings)


def apply() -> None:
    guard._guard = guard_plain
