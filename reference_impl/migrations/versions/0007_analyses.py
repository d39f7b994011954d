"""Analyses: what was asked, what came of it, and where its file is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "celery_analysis",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("analysis_type", sa.Text(), nullable=False),
        sa.Column("app_number", sa.Integer(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("document", postgresql.JSONB()),
        sa.Column("status", sa.Text()),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("file_due", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("file_path", sa.Text()),
        sa.Column("file_error", sa.Text()),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_celery_analysis")),
    )
    op.create_index("ix_celery_analysis_due", "celery_analysis", ["completed_at"], postgresql_where=sa.text("file_due"))
    op.create_index(
        "ix_celery_analysis_kept",
        "celery_analysis",
        ["completed_at"],
        postgresql_where=sa.text("file_path IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("celery_analysis")
