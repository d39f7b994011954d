"""The arguments of a task without a record are shown as its worker tells them."""

from typing import Any

from reference_impl import task_lines


def apply() -> None:
    def as_it_is(value: Any, **_: Any) -> Any:
        return value

    task_lines.storable = as_it_is
