"""The sweep command takes its caller's word for the broker, asked or not."""

from typing import Any

from reference_impl import sweep


def apply() -> None:
    whole = sweep.sweep

    def trusting(*args: Any, by: str, force: bool = False, **kwargs: Any) -> Any:
        return whole(*args, by=by, force=force or by == "cli", **kwargs)

    sweep.sweep = trusting
