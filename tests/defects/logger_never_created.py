"""Failures of tracking are told through a module logger that nobody created."""

from reference_impl import mishaps


def apply() -> None:
    del mishaps.logger
