"""The attempt is written together with the record, and waits for the record's row like it."""

from typing import Any

from reference_impl import registry
from reference_impl.lifecycle import Started


def apply() -> None:
    def together(self: Any, report: Any) -> Any:
        with self._engine.begin() as connection:
            outcome = registry.apply_within(connection, report)
            if isinstance(report.event, Started):
                registry._open_attempt(connection, report, report.event.owner)
            return outcome

    registry.Registry.apply = together
