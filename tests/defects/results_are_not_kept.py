"""The end of a task is written without its result, which the result backend has anyway."""

from dataclasses import replace
from typing import Any

from reference_impl import registry


def apply() -> None:
    applied = registry.Registry.apply

    def without(self: Any, report: Any) -> Any:
        return applied(self, replace(report, kept=None))

    registry.Registry.apply = without
