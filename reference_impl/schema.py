"""Bringing a database to the tracker's schema, and telling whether it is there."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect

from reference_impl.models import Base, TaskRecord

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to `revision`. Raises SQLAlchemy's errors; each migration is one transaction."""
    with engine.begin() as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Downgrade to `revision`; what the newer schema alone could hold is lost."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def differences(engine: Engine) -> list[str]:
    """What the database has that the models do not say, or lacks; empty when they agree."""
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_name": _is_ours}
        context = MigrationContext.configure(connection, opts=options)
        return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name in Base.metadata.tables


def is_present(engine: Engine) -> bool:
    """Whether the registry exists."""
    return inspect(engine).has_table(TaskRecord.__tablename__)


def _config(connection: object) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
