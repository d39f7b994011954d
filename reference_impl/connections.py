"""Connections to the registry's database, of one process each.

A child that shares a socket with its parent would mix its words with the parent's, and keep the parent's session
alive, with the locks it holds, after the parent has died. So a forked child closes what it inherited, and starts
with an empty pool.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from reference_impl.settings import Settings

_engines: WeakSet[Engine] = WeakSet()
_connections: WeakSet[psycopg.Connection[Any]] = WeakSet()


def open_engine(settings: Settings, *, pool_size: int = 1) -> Engine:
    """An engine of the tracker's own; a forked child that uses it makes its own connections."""
    # With statements that psycopg has prepared by itself, each rollback would forget those of a line, too.
    unprepared = {"prepare_threshold": None}
    return _open_engine(settings, pool_size, _stillness_ends_a_session(settings.lease_s), **unprepared)


def _open_engine(settings: Settings, pool_size: int, options: str = "", **more: Any) -> Engine:
    engine = create_engine(
        settings.sqlalchemy_url,
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=False,
        connect_args={
            "connect_timeout": 2,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "application_name": f"celery-tracker {os.getpid()}",
            "options": f"-c timezone=UTC {_silence_ends_a_session(settings.lease_s)} {options}",
            **more,
        },
    )
    _engines.add(engine)
    event.listen(engine, "connect", lambda connection, _record: _connections.add(connection))
    return engine


def _stillness_ends_a_session(lease_s: float) -> str:
    """Let Postgres end the session of a transaction that has been idle for a lease.

    A process that stands still must not keep others from the rows that it has locked.
    """
    return f"-c idle_in_transaction_session_timeout={int(lease_s * 1000)}"


def _silence_ends_a_session(lease_s: float) -> str:
    """Let Postgres end the session of a peer that it cannot reach for about a lease, with the locks that it holds.

    By default it takes more than two hours: so long could nobody else sweep. The kernel counts in whole seconds.
    """
    every_s = max(1, int(lease_s / 3))
    probes = f"-c tcp_keepalives_idle={every_s} -c tcp_keepalives_interval={every_s} -c tcp_keepalives_count=2"
    return f"{probes} -c tcp_user_timeout={3 * every_s * 1000}"


def open_sessions(settings: Settings) -> sessionmaker[Session]:
    """A session factory for an application's own queries; it may be made before a fork and used after it."""
    return sessionmaker(_open_engine(settings, 5))


def cause_of(error: Exception) -> str:
    """What the database or its driver said, on one line and without SQLAlchemy's statement."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def is_unreachable(error: SQLAlchemyError | psycopg.Error) -> bool:
    """Whether it is the database that is away or does not write, rather than what it was told that it refuses."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    original = getattr(error, "orig", None) or error
    if isinstance(original, psycopg.errors.ProgramLimitExceeded):
        return False  # psycopg counts it among the operational ones, and it will never fit
    standby = isinstance(original, psycopg.errors.ReadOnlySqlTransaction)
    unreachable = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
    return standby or isinstance(error, unreachable)


def brief(error: Exception) -> str:
    """The kind of the database's or its driver's error, and the first line of what was said."""
    original = getattr(error, "orig", None) or error
    text = str(original).strip().splitlines()
    return f"{type(original).__name__}: {text[0] if text else ''}"


def _let_go_of_what_was_inherited() -> None:
    for connection in list(_connections):
        with suppress(psycopg.OperationalError):  # it was closed before the fork
            os.close(connection.fileno())
    _connections.clear()
    for engine in list(_engines):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_let_go_of_what_was_inherited)
