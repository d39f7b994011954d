"""The end of a task is written without its result, which the result backend has anyway."""

from dataclasses import replace
from typing import Any

from reference_impl import recorder


def apply() -> None:
    begin = recorder.Recorder.begin

    def without(self: Any, report: Any) -> Any:
        return begin(self, replace(report, kept=None))

    recorder.Recorder.begin = without
