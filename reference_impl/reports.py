"""What is reported of a task, with all that is said beside it, and what came of the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from reference_impl.agent_rows import AgentChange, AgentWord
from reference_impl.lifecycle import Decision, Event, Refusal, Status
from reference_impl.messages import Message
from reference_impl.stored_results import Kept

Arguments = tuple[Any, Any]


@dataclass(frozen=True)
class Report:
    """An event of one task with what is said beside it; args, kwargs and result are in their storable form.

    It is `announced` where the message says that its publication has been sent to the registry.
    """

    task_id: str
    event: Event
    who: str
    why: str
    task_name: str | None = None
    worker_id: str | None = None
    worker_pid: int | None = None
    arguments: Callable[[], Arguments] | None = None
    result: Any = None
    progress: Any = None
    agent: AgentWord | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    reason: str | None = None
    kept: Kept | None = None
    owner: str | None = None
    queue: str | None = None
    eta: datetime | None = None
    awaits_s: float | None = None
    message: Message | None = None
    waiters: dict[str, Any] | None = None
    acks_late: bool = False
    redelivered: bool = False
    announced: bool = False
    happened: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> timedelta:
        """How long ago the event was."""
        return timedelta(seconds=max(0.0, time.monotonic() - self.happened))


@dataclass(frozen=True)
class Outcome:
    """What became of a report: of the task, whose status before it is told, and of agents.

    `losses` is how many attempts before a start were lost to a death.
    """

    decision: Decision
    before: Status | None
    losses: int = 0
    agents: tuple[AgentChange, ...] = ()

    @property
    def may_run(self) -> bool:
        """Whether an execution may begin; only a revoked task may not."""
        return not (isinstance(self.decision, Refusal) and self.before is Status.REVOKED)
