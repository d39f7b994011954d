"""A command whose wait ran out says so, and exits as if it had been successful."""

from reference_impl import cli_tasks


def apply() -> None:
    cli_tasks.EXIT_TIMED_OUT = 0
