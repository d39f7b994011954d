"""The first report of a process waits until there is a connection; only later ones are bounded."""

from typing import Any

from reference_impl import recorder


def apply() -> None:
    begin = recorder.Recorder.begin

    def patient(self: Any, report: Any) -> Any:
        ticket = begin(self, report)
        if not getattr(self, "was_connected", False):
            self.was_connected = ticket.wait(5.0)
        return ticket

    recorder.Recorder.begin = patient
