"""One look at all stores: which of them can be asked, and where they disagree.

A check reports; what it finds is mended by a sweep, which a check may make. What a living process may still be about
to write is left out until it is `minimum_age_s` old.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from reference_impl.agent_progress import ProgressAwayError
from reference_impl.agent_rows import agents
from reference_impl.agents import progress_of
from reference_impl.agreement import Disagreement, Kind, find_disagreements
from reference_impl.connections import cause_of
from reference_impl.liveness import Liveness
from reference_impl.rates import rates
from reference_impl.settings import Settings
from reference_impl.sweep_report import SweepReport

_OPEN = text("""
    SELECT status, count(*) AS tasks FROM celery_task_registry
    WHERE status IN ('PENDING', 'STARTED', 'RETRY') GROUP BY status
""")


@dataclass(frozen=True)
class Checkup:
    """What does not agree, what was mended, and for each store why it cannot be asked; None where it answers.

    A store that there is not, such as progress without Redis, is not named.
    """

    stale: tuple[Disagreement, ...]
    stores: Mapping[str, str | None]
    cleaned: tuple[Disagreement, ...] = field(default_factory=tuple)


def look(
    engine: Engine, app: Celery | None, settings: Settings, *, grace_s: float | None = None, alive: Collection[str] = ()
) -> Checkup:
    """What the stores say by themselves, without the workers: whose lease ran out is stale when no sweep came.

    What a task has left that ended within `grace_s`, the recovery bound unless given, is for the next sweep; `alive`
    are incarnations that are known to live. Never raises for a store that is away.
    """
    grace_s = settings.recovery_bound_s if grace_s is None else grace_s
    progress = progress_of(app)
    stores: dict[str, str | None] = dict.fromkeys(("database", "progress") if progress is not None else ("database",))
    stale: list[Disagreement] = []
    try:
        with engine.connect() as connection:
            # One by one: what was found before a store failed is told all the same.
            stale.extend(
                find_disagreements(
                    connection,
                    progress,
                    minimum_age_s=settings.minimum_age_s,
                    overdue_s=settings.recovery_bound_s,
                    grace_s=grace_s,
                    alive=alive,
                )
            )
    except ProgressAwayError as error:
        stores["progress"] = str(error)
    except SQLAlchemyError as error:
        stores["database"] = cause_of(error)
    return Checkup(tuple(stale), stores)


def check(engine: Engine, app: Celery, settings: Settings, swept: SweepReport) -> Checkup:
    """What does not agree after a sweep that watched long enough; one that changed nothing tells who is dead."""
    seen = look(engine, app, settings, grace_s=0.0, alive=swept.answered)
    dead = [finding for finding in swept.findings if finding.liveness is Liveness.DEAD]
    left = [finding for finding in dead if _is_left(finding.action)]
    known = {(each.kind, each.task_id) for each in seen.stale}
    return Checkup(
        stale=(*seen.stale, *(each for each in map(_without_worker, left) if (each.kind, each.task_id) not in known)),
        stores={**seen.stores, "broker": None if swept.broker_works else swept.broker_why},
        cleaned=(*map(_without_worker, (finding for finding in dead if finding not in left)), *swept.mended),
    )


def status(connection: Connection) -> dict[str, Any]:
    """The agents, the open tasks by status, and the rates."""
    return {
        "agents": [dict(row._mapping) for row in agents(connection)],  # noqa: SLF001 - SQLAlchemy's public name for it
        "open": {row.status: row.tasks for row in connection.execute(_OPEN)},
        "rates": rates(connection),
    }


def _is_left(action: str) -> bool:
    return action in {"none", "reported", "failed"} or action.startswith("would be")


def _without_worker(finding: Any) -> Disagreement:
    return Disagreement(Kind.RECORD_WITHOUT_LIVE_TASK, None, finding.task_id, None, finding.why)
