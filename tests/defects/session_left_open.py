"""A write that fails leaves its session open, in the middle of a transaction."""

from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from reference_impl import registry

FORGOTTEN_MAX = 10
forgotten: list[Any] = []


def apply() -> None:
    applied = registry.Registry.apply

    def without_rollback(self: Any, report: Any) -> Any:
        try:
            return applied(self, report)
        except SQLAlchemyError:
            if len(forgotten) == FORGOTTEN_MAX:
                raise
            dialect = self._engine.dialect
            arguments, options = dialect.create_connect_args(self._engine.url)
            connection = dialect.connect(*arguments, **options)
            connection.execute("SELECT 1")
            forgotten.append(connection)
            raise

    registry.Registry.apply = without_rollback
