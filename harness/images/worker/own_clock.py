"""Sleeping in a container whose clock is its own: imported by every interpreter of the image as it starts.

Python sleeps until an absolute time of the monotonic clock, which libfaketime 0.9.10 refuses with EINVAL, whatever
it is told about that clock. A relative time-out it leaves alone.
"""

import os
import select
import time
from typing import SupportsIndex


def sleep(seconds: float | SupportsIndex, /) -> None:
    """As `time.sleep`."""
    waiting = float(seconds)
    if waiting < 0:
        raise ValueError("sleep length must be non-negative")
    select.select((), (), (), waiting)


if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    time.sleep = sleep
