"""Whatever did not succeed has failed: revoked tasks count against the rates."""

from typing import Any

from reference_impl import rates


def apply() -> None:
    window = rates._window

    def all_but_successes(name: str, succeeded: int, failed: int, revoked: int) -> dict[str, Any]:
        return window(name, succeeded, failed + revoked, revoked)

    rates._window = all_but_successes
