"""Who has not answered two roll calls is dead, although its lease is renewed."""

from sqlalchemy import text

from reference_impl import closing, sweep


def apply() -> None:
    query = str(sweep._SUSPECTS)
    query = query.replace("i.lease_s", "0").replace("i.silent_at > i.renewed_at", "i.silent_at IS NOT NULL")
    sweep._SUSPECTS = text(query)
    closing._still_dead = lambda *_: True
