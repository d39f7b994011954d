"""What the result backend could not take while it was away it is never told."""

from reference_impl import sweep


def apply() -> None:
    sweep._tell_untold = lambda _this: None
