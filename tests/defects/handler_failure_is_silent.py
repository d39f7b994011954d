"""A tracking failure is swallowed: no line says that something was not recorded."""

from reference_impl import recorder, sweep


def apply() -> None:
    recorder.Recorder._failed = lambda *_: None
    sweep.log_tasks = lambda *_: None
