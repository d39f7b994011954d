"""A handler that raises is counted; a report that the database refuses, far from any handler, is only logged."""

from reference_impl import recorder
from reference_impl.reports import Report


def _failed(self: recorder.Recorder, report: Report, cause: str) -> None:
    self.failures += 1
    event = type(report.event).__name__
    recorder.logger.error("tracking: %s of task %s was not recorded: %s", event, report.task_id, cause)


def apply() -> None:
    recorder.Recorder._failed = _failed
