"""The keeper goes on renewing the lease when its worker is gone."""

import time
from pathlib import Path

from reference_impl import incarnation, keeper


def apply() -> None:
    incarnation._KEEPER = Path(__file__)


if __name__ == "__main__":
    keeper._exists = lambda _charge: True
    keeper._running_pids = lambda charge: [charge.pid]
    keeper._wait_for_end = lambda _charge, timeout_s: time.sleep(max(0.0, timeout_s))
    keeper.main()
