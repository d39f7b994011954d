"""The sweep subtracts an aware time from a naive one to tell how long it took."""

from datetime import datetime
from typing import Any

from reference_impl import sweep, worker
from reference_impl.sweep_report import SweepReport


def apply() -> None:
    def timed(*args: Any, **rest: Any) -> SweepReport:
        report = sweep.sweep(*args, **rest)
        worker.logger.debug("the pass ended %s ago", datetime.now() - report.at)  # noqa: DTZ005 - the bug
        return report

    worker.sweep = timed
