"""A lost delivery is an end like any other: published again, the task is refused."""

from reference_impl import registry


def apply() -> None:
    registry.LOST = "nothing is lost"
