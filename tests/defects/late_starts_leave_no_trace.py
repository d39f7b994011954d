"""Refused ends are in the trail; starts, retries and publications that come after the end are dropped unseen."""

from typing import Any

from reference_impl import registry
from reference_impl.lifecycle import Published, Refusal, Retrying, Started


def apply() -> None:
    audit = registry._audit

    def without_late_starts(connection: Any, report: Any, decision: Any, *rest: Any) -> None:
        if not (isinstance(decision, Refusal) and isinstance(report.event, Published | Retrying | Started)):
            audit(connection, report, decision, *rest)

    registry._audit = without_late_starts
