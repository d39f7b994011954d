"""Who this worker is, for one life of its process, and the lease that says it lives."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import psutil
from sqlalchemy import Engine, func
from sqlalchemy.dialects.postgresql import insert as upsert

from reference_impl.models import Incarnation
from reference_impl.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """One incarnation of a node; pool children inherit their parent's."""

    incarnation_id: UUID
    node: str
    pid: int


_KEEPER = Path(__file__).with_name("keeper.py")
_here: Identity | None = None


def become(node: str) -> Identity:
    """Give this process a new incarnation under `node`."""
    global _here  # noqa: PLW0603 - a process is one worker; its pool children inherit this by fork
    _here = Identity(uuid4(), node, os.getpid())
    return _here


def current() -> Identity | None:
    """This worker's incarnation; None in a process that is no worker."""
    return _here


def current_id() -> UUID | None:
    """The id of this worker's incarnation; None in a process that is no worker."""
    return _here.incarnation_id if _here else None


def register(engine: Engine, identity: Identity, lease_s: float) -> None:
    """Write the incarnation with a fresh lease. Raises SQLAlchemy's errors."""
    with engine.begin() as connection:
        connection.execute(
            upsert(Incarnation)
            .values(
                incarnation_id=identity.incarnation_id,
                node=identity.node,
                pid=identity.pid,
                lease_s=lease_s,
                started_at=func.clock_timestamp(),
                renewed_at=func.clock_timestamp(),
            )
            .on_conflict_do_nothing()
        )


def start_keeper(settings: Settings, identity: Identity) -> subprocess.Popen[bytes]:
    """Start the process that renews the lease from outside this interpreter.

    Its parameters go through a pipe: a command line is readable by every user of the machine, and the database
    URL carries a password.
    """
    parameters = {
        "database_url": settings.sqlalchemy_url.replace("postgresql+psycopg://", "postgresql://"),
        "incarnation_id": str(identity.incarnation_id),
        "node": identity.node,
        "pid": identity.pid,
        "created": psutil.Process(identity.pid).create_time(),
        "interval_s": settings.heartbeat_interval_s,
        "lease_s": settings.lease_s,
    }
    # By its path: as a module of the package it would import all of it, Celery and SQLAlchemy included.
    keeper = subprocess.Popen([sys.executable, str(_KEEPER)], stdin=subprocess.PIPE)
    assert keeper.stdin is not None
    keeper.stdin.write(json.dumps(parameters).encode())
    keeper.stdin.close()
    return keeper
