"""How hard the machine was pressed: for how long something that could run had to wait for a processor.

The kernel counts it (pressure stall information, Linux 4.20 and later). It judges nothing: a bound that was missed was
missed. It tells whoever reads a failure whether to look at the subject first, or at what else the machine had to do.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

_COUNTED = Path("/proc/pressure/cpu")


class Pressure:
    """Counts from when it is made."""

    def __init__(self, counted: Path = _COUNTED) -> None:
        self._counted = counted
        self._since, self._before = time.monotonic(), self._total_s()

    def value(self) -> dict[str, float] | None:
        """`seconds` since then, and for how many of them somebody waited (`pressed_s`); None where nobody counts."""
        now = self._total_s()
        if now is None or self._before is None:
            return None
        return {"seconds": round(time.monotonic() - self._since, 3), "pressed_s": round(now - self._before, 3)}

    def _total_s(self) -> float | None:
        try:
            some = re.search(r"^some .*\btotal=(\d+)", self._counted.read_text(), re.MULTILINE)
        except OSError:
            return None
        return int(some[1]) / 1e6 if some else None
