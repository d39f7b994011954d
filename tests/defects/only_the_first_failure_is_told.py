"""One line tells that the database is away, and none which tasks were not recorded."""

from reference_impl import recorder


def apply() -> None:
    real = recorder.Recorder._failed

    def failed(self: recorder.Recorder, report: recorder.Report, cause: str, *level: int) -> None:
        if not self.failures:
            real(self, report, cause, *level)

    recorder.Recorder._failed = failed
