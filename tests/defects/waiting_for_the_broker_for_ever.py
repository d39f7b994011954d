"""A task that awaits its redelivery waits as long as it takes."""

from typing import Any

from reference_impl import sweep


def nobody(*_: Any, **__: Any) -> list[sweep.Finding]:
    return []


def apply() -> None:
    sweep._give_up_waiting = nobody
