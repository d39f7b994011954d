"""What cannot be written while the database is away is dropped, as if the database had refused it."""

from reference_impl import left_behind, recorder


def apply() -> None:
    recorder.is_unreachable = left_behind.is_unreachable = lambda _error: False
