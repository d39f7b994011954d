"""A task is shown under its dotted path."""

from reference_impl import task_lines


def apply() -> None:
    task_lines.name_of = lambda name: name
