"""The log tells each closed task and that there was a sweep; the line of the sweep has lost its numbers."""

import logging

from reference_impl import sweep_report


def apply() -> None:
    class Terse(logging.LoggerAdapter):
        def log(self, level: int, _message: str, by: object, *_: object) -> None:
            super().log(level, "tracking: %s is done", by)

    sweep_report.logger = Terse(sweep_report.logger, {})
