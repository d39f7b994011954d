"""The first report of a process waits until there is a connection; only later ones are bounded."""

from typing import Any

from reference_impl import recorder


def apply() -> None:
    record = recorder.Recorder.record

    def patient(self: Any, report: Any) -> Any:
        ticket = record(self, report)
        if not getattr(self, "was_connected", False):
            self.was_connected = ticket.wait(5.0)
        return ticket

    recorder.Recorder.record = patient
