"""Results themselves, until they expire; whose a task is; the traceback of a failure; word of every change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("celery_task_registry", sa.Column("owner", sa.Text()))
    op.add_column("celery_task_registry", sa.Column("error_traceback", sa.Text()))
    op.create_index("ix_celery_task_registry_completed_at", "celery_task_registry", ["completed_at"])
    op.create_index(
        "ix_celery_task_registry_known_at",
        "celery_task_registry",
        [sa.text("coalesce(queued_at, started_at, completed_at)"), "task_id"],
    )
    op.create_table(
        "celery_task_result",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("left_out", JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("body_id", sa.Uuid()),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_celery_task_result")),
    )
    op.create_index(
        "ix_celery_task_result_expires_at",
        "celery_task_result",
        ["expires_at"],
        postgresql_where=sa.text("body IS NOT NULL OR body_id IS NOT NULL"),
    )
    op.create_index(
        "ix_celery_task_result_body_id",
        "celery_task_result",
        ["body_id"],
        postgresql_where=sa.text("body_id IS NOT NULL"),
    )
    op.create_index(
        "ix_celery_task_result_untold", "celery_task_result", ["task_id"], postgresql_where=sa.text("NOT told")
    )
    op.create_table(
        "celery_task_result_piece",
        sa.Column("body_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("body_id", "number", name=op.f("pk_celery_task_result_piece")),
    )
    op.add_column("celery_task_registry", sa.Column("version", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("""
        CREATE FUNCTION celery_task_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.version := OLD.version + 1;
            PERFORM pg_notify('celery_task_changed', NEW.task_id);
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER celery_task_changed
        BEFORE UPDATE OF status, attempts, progressed_at ON celery_task_registry FOR EACH ROW
        WHEN ((OLD.status, OLD.attempts, OLD.progressed_at)
            IS DISTINCT FROM (NEW.status, NEW.attempts, NEW.progressed_at))
        EXECUTE FUNCTION celery_task_changed()
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER celery_task_changed ON celery_task_registry")
    op.execute("DROP FUNCTION celery_task_changed()")
    op.drop_table("celery_task_result_piece")
    op.drop_table("celery_task_result")
    op.drop_index("ix_celery_task_registry_known_at", "celery_task_registry")
    op.drop_index("ix_celery_task_registry_completed_at", "celery_task_registry")
    op.drop_column("celery_task_registry", "version")
    op.drop_column("celery_task_registry", "error_traceback")
    op.drop_column("celery_task_registry", "owner")
