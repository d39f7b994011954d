"""Progress, attempts that died with their processes, who waits for them, and messages to send again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("celery_task_registry", sa.Column("progress", JSONB()))
    op.add_column("celery_task_registry", sa.Column("progressed_at", sa.DateTime(timezone=True)))
    op.add_column(
        "celery_task_attempt", sa.Column("lost", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("celery_task_attempt", sa.Column("waiters", JSONB()))
    op.create_table(
        "celery_task_message",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("envelope", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_celery_task_message")),
    )


def downgrade() -> None:
    op.drop_table("celery_task_message")
    op.drop_column("celery_task_attempt", "waiters")
    op.drop_column("celery_task_attempt", "lost")
    op.drop_column("celery_task_registry", "progressed_at")
    op.drop_column("celery_task_registry", "progress")
