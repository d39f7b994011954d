"""A write that fails is not tried again."""

from reference_impl.analysis import persistence


def apply() -> None:
    persistence.ATTEMPTS = 1
