"""A result counts as new when it is found, and not when its task ended."""

from reference_impl import noted_results


def apply() -> None:
    noted_results.moment_of = lambda _: None
