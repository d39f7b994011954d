"""One line in the log for each transition of a task and of an agent, whose second half is JSON for a program."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from uuid import UUID

from reference_impl.agent_rows import AgentChange
from reference_impl.lifecycle import Transition, attempt_of
from reference_impl.reports import Outcome, Report

logger = logging.getLogger(__name__)


def tell(report: Report, outcome: Outcome) -> None:
    """Log what a report did, once it is committed; nothing where it changed nothing."""
    if not logger.isEnabledFor(logging.INFO):
        return
    attempt_id = attempt_of(report.event)
    beside = {
        "task_id": report.task_id,
        "attempt_id": str(attempt_id) if attempt_id else None,
        "who": report.who,
    }
    if isinstance(outcome.decision, Transition):
        told = {"name": report.task_name, "from": outcome.before, "to": outcome.decision.to, "why": report.why}
        logger.info("tracking: task transition %s", json.dumps(beside | told))
    tell_agents(outcome.agents, report.task_id, attempt_id, report.who)


def tell_agents(changes: Iterable[AgentChange], task_id: str, attempt_id: UUID | None, who: str) -> None:
    """The same of agents, which begin and end by a task, or were let go."""
    beside = {"task_id": task_id, "attempt_id": str(attempt_id) if attempt_id else None, "who": who}
    for change in changes:
        told = {"agent": change.name, "from": change.before, "to": change.after}
        logger.info("tracking: agent transition %s", json.dumps(beside | told))
