"""The fate of one report, from its being handed over until it is written, or dropped."""

from __future__ import annotations

import threading
import time

from reference_impl.reports import Outcome, Report


class Ticket:
    """What has come of a report so far, for whoever waits for it.

    What a signal handler raises may come at any time in whoever reports, so nothing is used here that such an exception
    could leave locked, as `threading.Event` may be left.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.handed_over = time.monotonic()
        self.begun_s = 0.0
        self.unattended = False
        self.outcome: Outcome | None = None
        self.written = False
        self.dropped = False
        self.kept = False
        self.spooled: int | None = None
        self._unsettled = threading.Lock()
        self._unsettled.acquire()

    @property
    def answered(self) -> bool:
        """Whether the registry took a decision on it."""
        return self.outcome is not None

    def wait(self, timeout_s: float | None) -> bool:
        """Whether the report was written, or dropped, within `timeout_s`; None waits as long as it takes."""
        if not self.written and self._unsettled.acquire(timeout=-1 if timeout_s is None else timeout_s):
            self._unsettled.release()
        return self.written

    def settle(self) -> None:
        """It was written, or dropped; whoever waits goes on."""
        if not self.written:
            self.written = True
            self._unsettled.release()

    def left(self, bound_s: float) -> float:
        """How much is left of a bound that counts from its being handed over."""
        return max(0.0, self.handed_over + bound_s - time.monotonic())
