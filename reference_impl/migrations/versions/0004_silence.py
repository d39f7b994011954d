"""When an incarnation was last silent in a roll call: one is asked twice before it counts as dead."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("celery_worker_incarnation", sa.Column("silent_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("celery_worker_incarnation", "silent_at")
