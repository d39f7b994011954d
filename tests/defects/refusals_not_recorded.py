"""A refused transition leaves no trace."""

from typing import Any

from reference_impl import registry
from reference_impl.lifecycle import Refusal


def apply() -> None:
    audit = registry._audit

    def taken_only(connection: Any, report: Any, decision: Any, *rest: Any) -> None:
        if not isinstance(decision, Refusal):
            audit(connection, report, decision, *rest)

    registry._audit = taken_only
