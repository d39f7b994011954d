"""Where the message of a task that waits should be."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("celery_task_registry", sa.Column("queue", sa.Text()))
    op.create_index(
        "ix_celery_task_registry_waiting",
        "celery_task_registry",
        ["queue", sa.text("coalesce(eta, queued_at)")],
        postgresql_where=sa.text("status IN ('PENDING', 'RETRY')"),
    )


def downgrade() -> None:
    op.drop_index("ix_celery_task_registry_waiting", "celery_task_registry")
    op.drop_column("celery_task_registry", "queue")
