"""Agents: what each is doing, and which of them a task runs; and the last check that beat has asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("celery_task_registry", sa.Column("agent", sa.Text()))
    op.create_table(
        "celery_agent",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_running", sa.Boolean(), nullable=False),
        sa.Column("current_task_id", sa.Text()),
        sa.Column("current_attempt_id", sa.Uuid()),
        sa.Column("current_phase_message", sa.Text()),
        sa.Column("run_began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_update", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_task_id", sa.Text()),
        sa.Column("last_error", sa.Text()),
        sa.CheckConstraint("is_running = (current_task_id IS NOT NULL)", name=op.f("ck_celery_agent_running")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_celery_agent")),
    )
    op.create_table(
        "celery_state_check",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_by", sa.Text(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_celery_state_check_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_celery_state_check")),
    )
    op.create_index(
        "ix_celery_agent_current_task_id",
        "celery_agent",
        ["current_task_id"],
        postgresql_where=sa.text("current_task_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("celery_state_check")
    op.drop_table("celery_agent")
    op.drop_column("celery_task_registry", "agent")
