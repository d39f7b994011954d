"""A source that does not answer takes with it what it has said before."""

from typing import Any

from reference_impl import sitrep


def apply() -> None:
    asked = sitrep._Source.ask

    def ask(self: Any, work: Any) -> None:
        self.last = self.heard = None
        asked(self, work)

    sitrep._Source.ask = ask  # type: ignore[method-assign]
