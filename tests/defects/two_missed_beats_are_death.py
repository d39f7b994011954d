"""A worker that has missed two renewals counts as gone, whatever the length of its lease."""

from sqlalchemy import text

from reference_impl import closing, sweep

MISSED_S = 0.6


def apply() -> None:
    for module, name in ((sweep, "_SUSPECTS"), (closing, "_LEASE_AGAIN")):
        query = str(getattr(module, name))
        for lease in ("i.lease_s", "lease_s"):
            query = query.replace(f"secs => {lease})", f"secs => {MISSED_S})")
            query = query.replace(f"secs => {lease} / 2)", f"secs => {MISSED_S} / 2)")
        setattr(module, name, text(query))
