"""The sockets were added later, and nobody asks there for a token."""

from typing import Any

from reference_impl import api, api_callers
from reference_impl.monitor import add_monitor


def apply() -> None:
    def for_everybody(app: Any, changes: Any, who_calls: Any) -> None:
        add_monitor(app, changes, lambda token: who_calls(token) or api_callers.Token(None, frozenset()))

    api.add_monitor = for_everybody
