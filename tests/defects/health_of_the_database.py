"""Health is that of the database, as everything that must not be lost is there."""

from dataclasses import replace
from typing import Any

from reference_impl import api_health


def apply() -> None:
    look = api_health.look

    def of_the_database(*args: Any) -> Any:
        seen = look(*args)
        return replace(seen, stores={"database": seen.stores["database"]})

    api_health.look = of_the_database
