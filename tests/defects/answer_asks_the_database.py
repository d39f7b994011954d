"""A worker asks the database for its incarnation before it answers the roll call."""

from typing import Any

import psycopg
from celery.worker.control import Panel

from reference_impl import incarnation, rollcall, settings


def answer(_state: Any, **_: Any) -> dict[str, str | None]:
    identity = incarnation.current()
    url = settings.Settings().sqlalchemy_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, connect_timeout=2) as connection:
        row = connection.execute(
            "SELECT incarnation_id FROM celery_worker_incarnation WHERE incarnation_id = %s",
            [identity.incarnation_id if identity else None],
        ).fetchone()
    return {"incarnation": str(row[0]) if row else None}


def apply() -> None:
    Panel.data[rollcall.COMMAND] = answer
