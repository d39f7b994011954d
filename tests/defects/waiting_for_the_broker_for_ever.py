"""A task that awaits its redelivery waits as long as it takes."""

from typing import Any

from reference_impl import sweep, sweep_report


def nobody(*_: Any, **__: Any) -> list[sweep_report.Finding]:
    return []


def apply() -> None:
    sweep.give_up_waiting = nobody
