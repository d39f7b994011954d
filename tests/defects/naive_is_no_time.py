"""A time stamp without a zone is taken for none."""

from datetime import datetime

from reference_impl import noted_results


def apply() -> None:
    moment_of = noted_results.moment_of

    def aware_only(value: object) -> datetime | None:
        if isinstance(value, str) and not value.endswith("Z") and not any(sign in value[10:] for sign in "+-"):
            return None
        return moment_of(value)

    noted_results.moment_of = aware_only
