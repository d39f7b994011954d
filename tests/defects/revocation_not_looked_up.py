"""A start does not ask whether the task was revoked."""

from typing import Any

from reference_impl import guard


def run_anyway(*_: Any) -> None:
    return None


def apply() -> None:
    guard.refuse_revoked = run_anyway
