"""Alembic's entry: the engine comes from whoever calls `migrate`, never from a file."""

from __future__ import annotations

from alembic import context

from reference_impl.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, version_table="celery_tracker_version")
with context.begin_transaction():
    context.run_migrations()
