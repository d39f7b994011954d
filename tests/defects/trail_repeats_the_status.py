"""Why a task was revoked is answered by the trail with: it was revoked."""

from dataclasses import replace
from typing import Any

from reference_impl import registry
from reference_impl.lifecycle import Revoked


def apply() -> None:
    audit = registry._audit

    def repeated(connection: Any, report: Any, *rest: Any) -> None:
        said = replace(report, why="revoked") if isinstance(report.event, Revoked) else report
        audit(connection, said, *rest)

    registry._audit = repeated
