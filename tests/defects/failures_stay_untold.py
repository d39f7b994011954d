"""Of a failure that the result backend could not take nobody knows later that it has to be told."""

from reference_impl.signals import Handlers


def apply() -> None:
    Handlers._untold = lambda _self, _task: None  # type: ignore[method-assign]
