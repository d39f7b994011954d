"""The sweep does not look at a record's age."""

from dataclasses import replace
from typing import Any

from reference_impl import closing, sweep_report


def apply() -> None:
    close = closing._close

    def at_any_age(this: closing.Pass, row: Any, verdict: Any) -> sweep_report.Finding:
        ageless = this.settings.model_copy(update={"minimum_age_s": 0.0})
        return close(replace(this, settings=ageless), row, verdict)

    closing._close = at_any_age
