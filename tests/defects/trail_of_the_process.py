"""The audit trail is dated by the clock of the process that writes it."""

from datetime import UTC, datetime
from typing import Any

from reference_impl import registry


def apply() -> None:
    audit = registry._audit

    def audited(connection: Any, report: Any, decision: Any, before: Any, at: object, remark: Any) -> None:
        audit(connection, report, decision, before, datetime.now(UTC), remark)

    registry._audit = audited
