"""The offset of a time stamp is cut off."""

from datetime import UTC, datetime

from reference_impl import noted_results


def apply() -> None:
    moment_of = noted_results.moment_of

    def of_the_clock_on_the_wall(value: object) -> datetime | None:
        if moment_of(value) is None or not isinstance(value, str):
            return moment_of(value)
        return datetime.fromisoformat(value).replace(tzinfo=UTC)

    noted_results.moment_of = of_the_clock_on_the_wall
