"""The time of publication is read from the publisher's own clock."""

from datetime import UTC, datetime
from typing import Any

from reference_impl import registry


class ProcessClock:
    @staticmethod
    def clock_timestamp() -> datetime:
        return datetime.now(UTC)


def apply() -> None:
    insert = registry._insert_published

    def inserted(connection: Any, report: Any) -> bool:
        database_functions, registry.func = registry.func, ProcessClock
        try:
            return insert(connection, report)
        finally:
            registry.func = database_functions

    registry._insert_published = inserted
