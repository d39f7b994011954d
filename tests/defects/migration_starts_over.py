"""A column that may not be empty is added the quick way, by emptying the table first."""

from typing import Any

from alembic import op


def apply() -> None:
    add_column = op.add_column

    def to_an_empty_table(table: str, *arguments: Any, **options: Any) -> None:
        op.execute(f"DELETE FROM {table}")
        add_column(table, *arguments, **options)

    op.add_column = to_an_empty_table  # type: ignore[assignment]
