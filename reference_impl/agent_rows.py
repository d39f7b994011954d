"""The row of each agent, kept in the transactions that move the records of its tasks.

A run's word comes with a report of its task, so that an outage delays both alike. An agent belongs to the newest of
its runs, known by task and attempt: what an older one says of its end changes nothing. A record that leaves STARTED
lets its agents go, whoever reports that: the execution, its worker, or a sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

IDLE = "idle"
RUNNING = "running"


class Step(StrEnum):
    """What a run tells of itself."""

    BEGINS = "begins"
    CONTINUES = "continues"
    ENDS = "ends"


@dataclass(frozen=True)
class AgentWord:
    """What a run says of its agent: `phase` while it goes on, `error` when it ends by one."""

    name: str
    step: Step
    phase: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class AgentChange:
    """An agent began to run, went over to another run, or became idle."""

    name: str
    before: str
    after: str


_STANDS = text("SELECT is_running FROM celery_agent WHERE name = :name FOR UPDATE")
_BEGIN = text("""
    INSERT INTO celery_agent AS agent
        (name, is_running, current_task_id, current_attempt_id, current_phase_message, run_began_at, last_update)
    VALUES (:name, true, :task_id, :attempt_id, :phase, :at, :at)
    ON CONFLICT (name) DO UPDATE SET
        is_running = true, current_task_id = :task_id, current_attempt_id = :attempt_id,
        current_phase_message = :phase, run_began_at = :at, last_update = :at
    WHERE NOT agent.is_running OR agent.run_began_at <= :at
    RETURNING name
""")
_CONTINUE = text("""
    UPDATE celery_agent SET current_phase_message = :phase, last_update = :at
    WHERE name = :name AND current_task_id = :task_id AND current_attempt_id IS NOT DISTINCT FROM :attempt_id
""")
_LET_GO = """
    UPDATE celery_agent
    SET is_running = false, current_task_id = NULL, current_attempt_id = NULL, current_phase_message = NULL,
        last_update = coalesce(:at, clock_timestamp()), last_task_id = :task_id, last_error = :error
    WHERE current_task_id = :task_id
"""
_END = text(f"{_LET_GO} AND name = :name AND current_attempt_id IS NOT DISTINCT FROM :attempt_id RETURNING name")
_ABANDON_RUN = text(f"{_LET_GO} AND current_attempt_id IS NOT DISTINCT FROM :attempt_id RETURNING name")
_ABANDON = text(f"{_LET_GO} RETURNING name")
_ALL = text("SELECT * FROM celery_agent WHERE CAST(:name AS text) IS NULL OR name = :name ORDER BY name")


def take_word(
    connection: Connection, word: AgentWord, task_id: str, attempt_id: UUID | None, at: datetime
) -> tuple[AgentChange, ...]:
    """Do what a run says, as part of the caller's transaction, unless a newer run has the agent."""
    values = {"name": word.name, "task_id": task_id, "attempt_id": attempt_id, "at": at}
    match word.step:
        case Step.BEGINS:
            stands = connection.execute(_STANDS, {"name": word.name}).scalar()
            if connection.execute(_BEGIN, values | {"phase": word.phase}).scalar() is None:
                return ()
            return (AgentChange(word.name, RUNNING if stands else IDLE, RUNNING),)
        case Step.CONTINUES:
            connection.execute(_CONTINUE, values | {"phase": word.phase})
            return ()
        case Step.ENDS:
            return _let_go(connection.execute(_END, values | {"error": word.error}).scalars())


def abandon(connection: Connection, task_id: str, error: str | None, at: datetime | None) -> tuple[AgentChange, ...]:
    """Let the agents go that run by this task, which is not executed any more; `at` None is now."""
    return _let_go(connection.execute(_ABANDON, {"task_id": task_id, "error": error, "at": at}).scalars())


def abandon_run(connection: Connection, task_id: str, attempt_id: UUID | None, error: str) -> tuple[AgentChange, ...]:
    """Let the agents go that run by this attempt of this task."""
    values = {"task_id": task_id, "attempt_id": attempt_id, "error": error, "at": None}
    return _let_go(connection.execute(_ABANDON_RUN, values).scalars())


def agents(connection: Connection, name: str | None = None) -> Sequence[Row[Any]]:
    """The rows of all agents, or of one."""
    return connection.execute(_ALL, {"name": name}).all()


def _let_go(names: Any) -> tuple[AgentChange, ...]:
    return tuple(AgentChange(name, RUNNING, IDLE) for name in names)
