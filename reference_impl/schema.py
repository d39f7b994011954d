"""Bringing a database to the tracker's schema, and telling whether it is there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, inspect

from reference_impl.models import TaskRecord

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to `revision`. Raises SQLAlchemy's errors; each migration is one transaction."""
    with engine.begin() as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Downgrade to `revision`; what the newer schema alone could hold is lost."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def is_present(engine: Engine) -> bool:
    """Whether the registry exists."""
    return inspect(engine).has_table(TaskRecord.__tablename__)


def _config(connection: object) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
