"""The sweep does not look at a record's age."""

from dataclasses import replace
from typing import Any

from reference_impl import sweep


def apply() -> None:
    close = sweep._close

    def at_any_age(this: sweep._Pass, row: Any, verdict: Any) -> sweep.Finding:
        ageless = this.settings.model_copy(update={"minimum_age_s": 0.0})
        return close(replace(this, settings=ageless), row, verdict)

    sweep._close = at_any_age
