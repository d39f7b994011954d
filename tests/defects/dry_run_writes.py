"""`--dry-run` only changes what is printed."""

from typing import Any

from reference_impl import sweep


def apply() -> None:
    whole = sweep.sweep

    def wet(*args: Any, dry_run: bool = False, **kwargs: Any) -> Any:
        return whole(*args, **kwargs)

    sweep.sweep = wet
