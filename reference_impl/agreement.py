"""Where the places that tell of an agent's run disagree, and the way back.

An agent's row, the record of its task and the progress in Redis say the same, but for moments: the row moves with
the record, the progress right after it. What a dead process or an outage has left behind is found here and named.
A sweep mends it, one thing at a time, each only if it still stands as it was found; done twice, it changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, text

from reference_impl.agent_progress import AgentProgress, Entry, ProgressAwayError
from reference_impl.agent_rows import abandon_run
from reference_impl.lifecycle import ENDED, Status
from reference_impl.transitions import tell_agents

logger = logging.getLogger(__name__)


class Kind(StrEnum):
    """What does not agree."""

    RECORD_WITHOUT_LIVE_TASK = "record-without-live-task"
    RUNNING_WITHOUT_TASK = "running-without-task"
    POINTS_AT_NOTHING = "points-at-nothing"
    PROGRESS_WITHOUT_TASK = "progress-without-task"


@dataclass(frozen=True)
class Disagreement:
    """One place that tells of a run which the task's record does not know, or knows to be over; or such a record.

    `entry` is the progress as it is stored, `incarnation_id` who has written it. Where the record has not ended (`over`
    is false), a worker that cannot reach the database may run it all the same.
    """

    kind: Kind
    agent: str | None
    task_id: str
    attempt_id: UUID | None
    why: str
    entry: str | None = field(default=None, repr=False)
    incarnation_id: UUID | None = None
    over: bool = True


_RUNNING = text("""
    SELECT a.name, a.current_task_id AS task_id, a.current_attempt_id AS claimed, r.status, r.attempt_id,
           extract(epoch FROM clock_timestamp() - a.last_update)::float AS age_s
    FROM celery_agent a LEFT JOIN celery_task_registry r ON r.task_id = a.current_task_id
    WHERE a.current_task_id IS NOT NULL
    ORDER BY a.name
""")
# The lease alone proves no death, but that no sweep has looked for longer than it may take.
_OVERDUE = text("""
    SELECT r.task_id, r.agent, r.attempt_id, r.worker_id
    FROM celery_task_attempt a JOIN celery_task_registry r USING (task_id)
         LEFT JOIN celery_worker_incarnation i ON i.incarnation_id = a.incarnation_id
    WHERE a.ended_at IS NULL AND a.incarnation_id IS NOT NULL AND r.status = 'STARTED' AND r.attempt_id = a.attempt_id
      AND coalesce(i.renewed_at, a.started_at) < clock_timestamp() - make_interval(secs => :overdue_s)
    ORDER BY r.task_id
""")
_HOLDING = text("""
    SELECT incarnation_id::text FROM celery_worker_incarnation
    WHERE incarnation_id = ANY(:asked) AND renewed_at + make_interval(secs => lease_s) >= clock_timestamp()
""")
_RECORDS = text("""
    SELECT task_id, status, attempt_id, extract(epoch FROM clock_timestamp() - completed_at)::float AS over_s
    FROM celery_task_registry WHERE task_id = ANY(:task_ids)
""")


def find_disagreements(
    connection: Connection,
    progress: AgentProgress | None,
    *,
    minimum_age_s: float,
    overdue_s: float | None = None,
    grace_s: float = 0.0,
    alive: Collection[str] = (),
) -> Iterator[Disagreement]:
    """Each place that tells of a run that is not one; raises ProgressAwayError after those of the database.

    What may still be on its way is left alone until it is older than `minimum_age_s`, and what a task has left that
    ended within `grace_s`. So is progress of a task that has not ended while the worker that wrote it holds its lease,
    or is among the incarnations `alive`: the registry may not have heard of the run yet. With `overdue_s`, records
    too whose worker has given no sign for so long.
    """
    if overdue_s is not None:
        for row in connection.execute(_OVERDUE, {"overdue_s": overdue_s}).all():
            said = f"its worker {row.worker_id} has given no sign for more than {overdue_s:g} s, and no sweep closed it"
            yield Disagreement(Kind.RECORD_WITHOUT_LIVE_TASK, row.agent, row.task_id, row.attempt_id, said)
    for row in connection.execute(_RUNNING).all():
        why = _why_not_running(row.status, row.attempt_id, row.claimed, old=row.age_s > minimum_age_s)
        if why is not None:
            kind = Kind.POINTS_AT_NOTHING if row.status is None else Kind.RUNNING_WITHOUT_TASK
            yield Disagreement(kind, row.name, row.task_id, row.claimed, why)
    entries = progress.entries() if progress is not None else []
    records = _records(connection, entries)
    living = {*alive, *_holding_leases(connection, entries)}
    for entry in entries:
        record = records.get(entry.task_id)
        over = record is not None and Status(record.status) in ENDED
        if record is not None and over and record.over_s is not None and record.over_s <= grace_s:
            continue
        if not over and str(entry.incarnation_id) in living:
            continue
        status, attempt_id = (record.status, record.attempt_id) if record else (None, None)
        why = _why_not_running(status, attempt_id, entry.attempt_id, old=entry.age_s > minimum_age_s)
        if why is not None:
            kind = Kind.PROGRESS_WITHOUT_TASK
            yield Disagreement(
                kind, entry.agent, entry.task_id, entry.attempt_id, why, entry.text, entry.incarnation_id, over
            )


def doubted(connection: Connection, progress: AgentProgress | None, *, minimum_age_s: float) -> set[str]:
    """The incarnations to be asked whether they live: their progress speaks of runs that the registry denies."""
    try:
        found = list(find_disagreements(connection, progress, minimum_age_s=minimum_age_s))
    except ProgressAwayError:
        return set()  # the sweep will say so when it mends
    return {str(each.incarnation_id) for each in found if not each.over and each.incarnation_id is not None}


def mend(
    engine: Engine, progress: AgentProgress | None, *, minimum_age_s: float, alive: Collection[str] | None, by: str
) -> list[Disagreement]:
    """Let go of what tells of no run; gives what was mended. A Redis that is away is left for another time.

    `alive` are the incarnations that have answered a roll call; None where there was none, and nobody's silence counts.
    Raises SQLAlchemy's errors.
    """
    mended: list[Disagreement] = []
    with engine.begin() as connection:
        how: dict[str, Any] = {"minimum_age_s": minimum_age_s, "alive": alive or ()}
        try:
            found = list(find_disagreements(connection, progress, **how))
        except ProgressAwayError as error:
            logger.warning("tracking: %s cannot look for progress that was left behind: %s", by, error)
            found = list(find_disagreements(connection, None, **how))
    for each in found:
        if alive is None and each.kind is Kind.PROGRESS_WITHOUT_TASK and not each.over:
            continue
        if _let_go(engine, progress, each, by):
            logger.warning(
                "tracking: %s let agent %s go from task %s (%s): %s", by, each.agent, each.task_id, each.kind, each.why
            )
            mended.append(each)
    return mended


def _let_go(engine: Engine, progress: AgentProgress | None, found: Disagreement, by: str) -> bool:
    if found.kind is not Kind.PROGRESS_WITHOUT_TASK:
        with engine.begin() as connection:
            changes = abandon_run(connection, found.task_id, found.attempt_id, found.why)
        tell_agents(changes, found.task_id, found.attempt_id, by)
        return bool(changes)
    assert progress is not None
    assert found.entry is not None
    try:
        return progress.drop_entry(found.task_id, found.entry)
    except ProgressAwayError as error:
        logger.warning("tracking: progress of task %s is left to the next sweep: %s", found.task_id, error)
        return False


def _why_not_running(status: str | None, attempt_id: UUID | None, claimed: UUID | None, *, old: bool) -> str | None:
    """Why a run that somebody tells of is none; None where it is one, or may turn out to be one."""
    if status is None:
        return "there is no such task" if old else None
    if Status(status) in ENDED:
        return f"its task has ended ({status})"
    if not old:
        return None
    if status != Status.STARTED:
        return f"its task is not executed ({status})"
    return "another attempt executes its task" if attempt_id != claimed else None


def _holding_leases(connection: Connection, entries: Sequence[Entry]) -> set[str]:
    asked = [entry.incarnation_id for entry in entries if entry.incarnation_id is not None]
    return set(connection.execute(_HOLDING, {"asked": asked}).scalars()) if asked else set()


def _records(connection: Connection, entries: Sequence[Entry]) -> dict[str, Row[Any]]:
    if not entries:
        return {}
    rows = connection.execute(_RECORDS, {"task_ids": [entry.task_id for entry in entries]})
    return {row.task_id: row for row in rows}
