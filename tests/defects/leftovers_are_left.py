"""What a killed process has left of its writing stays there."""

from reference_impl.analysis import files


def apply() -> None:
    files.clean_leftovers = lambda _: 0
