"""Only what a worker holds for a later time counts as pending, not what it has reserved."""

from typing import Any

from reference_impl import live_work
from reference_impl.live_work import Hold


def apply() -> None:
    asked = live_work._answers

    def answers(app: Any, hold: Hold, timeout_s: float) -> Any:
        return [] if hold is Hold.RESERVED else asked(app, hold, timeout_s)

    live_work._answers = answers
