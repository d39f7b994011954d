"""The migration makes no index on status and worker: each sweep reads the whole table."""

from typing import Any

from alembic import op


def apply() -> None:
    create_index = op.create_index

    def unless_compound(name: str, *arguments: Any, **options: Any) -> None:
        if "status" not in name:
            create_index(name, *arguments, **options)

    op.create_index = unless_compound  # type: ignore[assignment]
