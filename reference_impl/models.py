"""The tracker's tables. Every time stamp is `timestamptz`, set from the database's clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, Index, MetaData, Text, false, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from reference_impl.lifecycle import Status

_VOCABULARY = ", ".join(f"'{status}'" for status in Status)


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can refer to it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        datetime: DateTime(timezone=True),
        str: Text(),
        dict[str, Any]: JSONB(),
    }


class TaskRecord(Base):
    """One task, whatever became of it."""

    __tablename__ = "celery_task_registry"
    __table_args__ = (
        CheckConstraint(f"status IN ({_VOCABULARY})", name="status"),
        Index(None, "status", "worker_id"),
        Index(
            "ix_celery_task_registry_waiting",
            "queue",
            text("coalesce(eta, queued_at)"),
            postgresql_where=text("status IN ('PENDING', 'RETRY')"),
        ),
        Index(None, "completed_at"),
        Index("ix_celery_task_registry_known_at", text("coalesce(queued_at, started_at, completed_at)"), "task_id"),
    )

    task_id: Mapped[str] = mapped_column(primary_key=True)
    task_name: Mapped[str | None]
    owner: Mapped[str | None]
    agent: Mapped[str | None]
    status: Mapped[str]
    detail: Mapped[str | None]
    worker_id: Mapped[str | None]
    worker_pid: Mapped[int | None]
    incarnation_id: Mapped[UUID | None]
    attempt_id: Mapped[UUID | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    args: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    kwargs: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    error_type: Mapped[str | None]
    error_message: Mapped[str | None]
    error_traceback: Mapped[str | None]
    reason: Mapped[str | None]
    ended_by: Mapped[str | None]
    queue: Mapped[str | None]
    queued_at: Mapped[datetime | None]
    eta: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    last_heartbeat: Mapped[datetime | None]
    progress: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    progressed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(BigInteger(), default=0, server_default="0")


class Attempt(Base):
    """One execution; committed before its record tells of it, or with it, so that a death in between shows."""

    __tablename__ = "celery_task_attempt"
    __table_args__ = (
        Index(None, "task_id"),
        Index("ix_celery_task_attempt_open", "incarnation_id", postgresql_where="ended_at IS NULL"),
    )

    attempt_id: Mapped[UUID] = mapped_column(primary_key=True)
    task_id: Mapped[str]
    task_name: Mapped[str | None]
    incarnation_id: Mapped[UUID | None]
    worker_id: Mapped[str | None]
    worker_pid: Mapped[int | None]
    acks_late: Mapped[bool]
    redelivered: Mapped[bool]
    lost: Mapped[bool] = mapped_column(default=False, server_default=false())
    waiters: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class StoredMessage(Base):
    """A message as a worker received it, to be sent again; `body` is empty where it was over the limit."""

    __tablename__ = "celery_task_message"

    task_id: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int]
    body: Mapped[bytes | None]
    envelope: Mapped[dict[str, Any]] = mapped_column(JSONB())


class StoredResult(Base):
    """What a task returned, as JSON: here (`body`), in pieces (`body_id`), or, after it expired, nowhere any more."""

    __tablename__ = "celery_task_result"
    __table_args__ = (
        Index(None, "expires_at", postgresql_where=text("body IS NOT NULL OR body_id IS NOT NULL")),
        Index(None, "body_id", postgresql_where=text("body_id IS NOT NULL")),
        Index("ix_celery_task_result_untold", "task_id", postgresql_where=text("NOT told")),
    )

    task_id: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger())
    sha256: Mapped[str]
    left_out: Mapped[list[str]] = mapped_column(JSONB())
    body: Mapped[bytes | None]
    body_id: Mapped[UUID | None]
    told: Mapped[bool]
    stored_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class ResultPiece(Base):
    """A piece of a result that is too large for one row."""

    __tablename__ = "celery_task_result_piece"

    body_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    body: Mapped[bytes]
    stored_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class AuditEntry(Base):
    """One transition, or one refused transition: from, to, when, who, why."""

    __tablename__ = "celery_task_audit"
    __table_args__ = (Index(None, "task_id"),)

    entry_id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    task_id: Mapped[str]
    attempt_id: Mapped[UUID | None]
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    refused: Mapped[bool]
    at: Mapped[datetime]
    who: Mapped[str]
    why: Mapped[str]


class Incarnation(Base):
    """One life of a worker under a node name, and its lease."""

    __tablename__ = "celery_worker_incarnation"
    __table_args__ = (Index(None, "node"),)

    incarnation_id: Mapped[UUID] = mapped_column(primary_key=True)
    node: Mapped[str]
    pid: Mapped[int]
    lease_s: Mapped[float]
    started_at: Mapped[datetime]
    renewed_at: Mapped[datetime]
    silent_at: Mapped[datetime | None]


class AgentState(Base):
    """One agent, as the newest of its runs left it; it runs as long as it has a current task."""

    __tablename__ = "celery_agent"
    __table_args__ = (
        CheckConstraint("is_running = (current_task_id IS NOT NULL)", name="running"),
        Index(None, "current_task_id", postgresql_where=text("current_task_id IS NOT NULL")),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    is_running: Mapped[bool]
    current_task_id: Mapped[str | None]
    current_attempt_id: Mapped[UUID | None]
    current_phase_message: Mapped[str | None]
    run_began_at: Mapped[datetime]
    last_update: Mapped[datetime]
    last_task_id: Mapped[str | None]
    last_error: Mapped[str | None]


class Analysis(Base):
    """One analysis that is to be kept: what was asked, and, when it is over, the document that its file holds, too."""

    __tablename__ = "celery_analysis"
    __table_args__ = (
        Index("ix_celery_analysis_due", "completed_at", postgresql_where=text("file_due")),
        Index("ix_celery_analysis_kept", "completed_at", postgresql_where=text("file_path IS NOT NULL")),
    )

    task_id: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str]
    analysis_type: Mapped[str]
    app_number: Mapped[int]
    notes: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB(), server_default=text("'{}'"))
    document: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    status: Mapped[str | None]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    completed_at: Mapped[datetime | None]
    file_due: Mapped[bool] = mapped_column(default=False, server_default=false())
    file_path: Mapped[str | None]
    file_error: Mapped[str | None]


class StateCheck(Base):
    """One row: when beat's check was last made, and by whom."""

    __tablename__ = "celery_state_check"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    checked_at: Mapped[datetime]
    checked_by: Mapped[str]


class SweepPulse(Base):
    """One row: since when sweeps have been in touch with this database without a gap."""

    __tablename__ = "celery_sweep_pulse"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    since: Mapped[datetime]
    last: Mapped[datetime]
