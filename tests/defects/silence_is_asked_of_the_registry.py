"""Where no worker answers, what the registry has as STARTED is shown as executed."""

from typing import Any

from reference_impl import sitrep
from reference_impl.live_work import LiveWork, WorkersAwayError


def apply() -> None:
    asked = sitrep.ask_workers

    def ask(app: Any, timeout_s: float) -> LiveWork:
        live = asked(app, timeout_s)
        if not live.answered:
            raise WorkersAwayError("no worker answered")
        return live

    sitrep.ask_workers = ask
