"""A redelivered task runs when its revocation cannot be read."""

from typing import Any

from reference_impl import guard


def run_anyway(_task: Any, ticket: Any, _settings: Any) -> Any:
    return ticket


def apply() -> None:
    guard.await_revocations = run_anyway
