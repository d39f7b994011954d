"""The registry, its attempts, its audit trail, the workers' incarnations and the sweeps' pulse."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "celery_task_registry",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("task_name", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("worker_id", sa.Text()),
        sa.Column("worker_pid", sa.Integer()),
        sa.Column("incarnation_id", UUID(as_uuid=True)),
        sa.Column("attempt_id", UUID(as_uuid=True)),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("args", JSONB()),
        sa.Column("kwargs", JSONB()),
        sa.Column("result", JSONB()),
        sa.Column("error_type", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("ended_by", sa.Text()),
        sa.Column("queued_at", _MOMENT),
        sa.Column("eta", _MOMENT),
        sa.Column("started_at", _MOMENT),
        sa.Column("completed_at", _MOMENT),
        sa.Column("last_heartbeat", _MOMENT),
        sa.CheckConstraint(
            "status IN ('PENDING', 'STARTED', 'RETRY', 'SUCCESS', 'FAILURE', 'REVOKED')",
            name=op.f("ck_celery_task_registry_status"),
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_celery_task_registry")),
    )
    op.create_index("ix_celery_task_registry_status_worker_id", "celery_task_registry", ["status", "worker_id"])
    op.create_table(
        "celery_task_attempt",
        sa.Column("attempt_id", UUID(as_uuid=True), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("task_name", sa.Text()),
        sa.Column("incarnation_id", UUID(as_uuid=True)),
        sa.Column("worker_id", sa.Text()),
        sa.Column("worker_pid", sa.Integer()),
        sa.Column("acks_late", sa.Boolean(), nullable=False),
        sa.Column("redelivered", sa.Boolean(), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_celery_task_attempt")),
    )
    op.create_index("ix_celery_task_attempt_task_id", "celery_task_attempt", ["task_id"])
    op.create_index(
        "ix_celery_task_attempt_open",
        "celery_task_attempt",
        ["incarnation_id"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "celery_task_audit",
        sa.Column("entry_id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("attempt_id", UUID(as_uuid=True)),
        sa.Column("from_status", sa.Text()),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_celery_task_audit")),
    )
    op.create_index("ix_celery_task_audit_task_id", "celery_task_audit", ["task_id"])
    op.create_table(
        "celery_worker_incarnation",
        sa.Column("incarnation_id", UUID(as_uuid=True), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("lease_s", sa.Float(), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("renewed_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("incarnation_id", name=op.f("pk_celery_worker_incarnation")),
    )
    op.create_index("ix_celery_worker_incarnation_node", "celery_worker_incarnation", ["node"])
    op.create_table(
        "celery_sweep_pulse",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("last", _MOMENT, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_celery_sweep_pulse_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_celery_sweep_pulse")),
    )


def downgrade() -> None:
    for table in (
        "celery_sweep_pulse",
        "celery_worker_incarnation",
        "celery_task_audit",
        "celery_task_attempt",
        "celery_task_registry",
    ):
        op.drop_table(table)
