"""Nobody is told what is written."""

from reference_impl.analysis import persistence


def apply() -> None:
    persistence._tell_of = lambda _: None
