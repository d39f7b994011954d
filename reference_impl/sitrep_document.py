"""What a sitrep tells, and in which words."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from reference_impl.task_lines import TaskLine


class TaskMetrics(BaseModel):
    """How many tasks there are; null where nobody who answers has ever told."""

    total_tasks: int | None = Field(description="active, pending, completed and failed ones together")
    active_tasks: int | None = Field(description="executed by a worker")
    completed_tasks: int | None
    failed_tasks: int | None
    pending_tasks: int | None = Field(description="held by a worker, reserved or scheduled, and not executed yet")
    cancelled_tasks: int | None = Field(description="revoked; no part of the total")
    success_rate: float | None = Field(
        description="completed / (completed + failed), from 0 to 1; null before the first"
    )


class Origin(BaseModel):
    """Where figures come from, and how old they are."""

    source: str | None = Field(description="`workers` or `registry`; null of what is not known")
    age_seconds: float | None


class SourceState(BaseModel):
    """How a source has answered."""

    answered: bool
    why: str | None = Field(description="why it did not answer")
    seconds: float = Field(description="how long it took")
    age_seconds: float | None = Field(description="how long ago it answered last; null of one that never has")


class WorkersState(SourceState):
    """Who has answered, and who has not although its lease holds."""

    workers: list[str]
    silent: list[str]


class ResultsState(SourceState):
    """Results that the tracker has not reported itself: `unread` ones are not counted yet."""

    unread: int | None
    adopted: int | None = Field(description="made into records of tasks that had none")
    malformed: int | None = Field(description="stored as results, and none; skipped")
    gone: int | None = Field(description="expired or removed before they were read")


class Sources(BaseModel):
    """All that were asked."""

    workers: WorkersState
    registry: SourceState
    results: ResultsState


class Sitrep(BaseModel):
    """The answer; `age_seconds` ago it was gathered."""

    task_metrics: TaskMetrics
    origins: dict[str, Origin] = Field(description="of each figure, and of `recent_tasks`")
    recent_tasks: list[TaskLine] = Field(
        description="executed ones first, the newest start first; then the newest ends"
    )
    sources: Sources
    gathered_at: datetime
    age_seconds: float
