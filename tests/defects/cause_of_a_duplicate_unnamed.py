"""A duplicate is reported without the setting that causes it, and the reader looks for a bug in his own code."""

from reference_impl import lifecycle


def apply() -> None:
    lifecycle.DUPLICATE = "a duplicate: delivered again while an earlier attempt is being executed"
