"""A machine that has something else to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_BURN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10_000))"  # never left behind


@contextmanager
def busy_machine() -> Iterator[int]:
    """One process for each core that only burns time, at the same priority as everything here; gives their number."""
    burners = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in os.sched_getaffinity(0)]
    try:
        yield len(burners)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
