"""A process compares its wall clock with the database's when it starts, and relies on it from then on."""

import time
from datetime import timedelta

from reference_impl.reports import Report


def apply() -> None:
    compared = time.time() - time.monotonic()

    def age(self: Report) -> timedelta:
        stepped = time.time() - time.monotonic() - compared
        return timedelta(seconds=time.monotonic() - self.happened - stepped)

    Report.age = property(age)
