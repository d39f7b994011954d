"""One sweeper at a time, and since when sweeps have been in touch with the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from reference_impl.settings import Settings

# Any number that no other user of advisory locks in this database would choose.
ONE_SWEEPER = 0x63656C65727953

_PULSE = text("""
    INSERT INTO celery_sweep_pulse AS pulse (id, since, last) VALUES (1, clock_timestamp(), clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET
        since = CASE WHEN pulse.last < clock_timestamp() - make_interval(secs => :gap_s)
                     THEN clock_timestamp() ELSE pulse.since END,
        last = clock_timestamp()
    RETURNING last - since >= make_interval(secs => :lease_s)
""")


@contextmanager
def only_sweeper(engine: Engine, lease_s: float) -> Iterator[Connection | None]:
    """The session that keeps all others from sweeping while it lasts; None where somebody else sweeps."""
    with engine.connect() as connection:
        mine = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": ONE_SWEEPER}).scalar_one()
        if not mine:
            connection.commit()
            yield None
            return
        # A sweeper that stands still would keep everybody from sweeping: after a lease its session ends.
        connection.execute(text(f"SET idle_session_timeout = {int(lease_s * 1000)}"))
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ONE_SWEEPER})
            connection.execute(text("RESET idle_session_timeout"))
            connection.commit()


def await_other_sweeper(engine: Engine, within_s: float) -> None:
    """Wait until nobody sweeps, for so long at most; whoever only tries now and then may always come too late.

    Raises SQLAlchemy's errors when the database fails.
    """
    with engine.connect() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = {max(1, int(within_s * 1000))}"))
        try:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_SWEEPER})
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
        connection.rollback()


def pulse(connection: Connection, settings: Settings) -> bool:
    """Whether sweeps have been in touch without a gap for a full lease; counts this moment as touch."""
    values = {"gap_s": settings.continuity_s, "lease_s": settings.lease_s}
    watched: bool = connection.execute(_PULSE, values).scalar_one()
    connection.commit()
    return watched
