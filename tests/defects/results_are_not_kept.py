"""The end of a task is written without its result, which the result backend has anyway."""

from reference_impl import registry


def apply() -> None:
    registry.put = lambda *_: None
