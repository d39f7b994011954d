"""A sweeper that was blind itself takes every lease that looks run out for one that is."""

from reference_impl import sweep


def apply() -> None:
    sweep.pulse = lambda _connection, _settings: True
