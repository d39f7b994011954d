"""A column is added to the model, and nobody writes the migration."""

from sqlalchemy import Column, Table, Text

from reference_impl.models import TaskRecord


def apply() -> None:
    table = TaskRecord.__table__
    assert isinstance(table, Table)
    table.append_column(Column("favourite_colour", Text()))
