"""Nobody tells Postgres to look whether a silent peer is still there: a sweeper that is cut off keeps the lock."""

from reference_impl import connections


def apply() -> None:
    connections._silence_ends_a_session = lambda _lease_s: ""
