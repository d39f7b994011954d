"""A sweep's end stands in the registry alone: whoever waits for the result waits for ever."""

from reference_impl import sweep


def apply() -> None:
    sweep.tell_result_backend = lambda _app, _report: None
