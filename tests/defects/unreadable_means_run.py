"""A redelivered task runs when its revocation cannot be read."""

from typing import Any

from reference_impl.task import TrackedTask


def run_anyway(_task: Any, _task_id: str, ticket: Any, _settings: Any) -> Any:
    return ticket


def apply() -> None:
    TrackedTask._await_revocations = run_anyway
