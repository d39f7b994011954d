"""The attempt is written together with the record, and waits for the record's row like it."""

from typing import Any

from reference_impl import recorder, registry


def apply() -> None:
    def together(self: Any, report: Any) -> Any:
        with self._engine.begin() as connection:
            return registry.take(connection, report) or registry.apply_within(connection, report)

    registry.Registry.apply = together
    recorder.Recorder._send = lambda _self, _ticket: False  # no report goes another way
