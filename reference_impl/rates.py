"""How many tasks ended in the last hour, and in which way: success and failure rates over windows of time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

WINDOWS_S = {"5m": 300, "1h": 3600, "24h": 86_400}

_ENDED = text("""
    SELECT status, count(*) FILTER (WHERE completed_at > statement_timestamp() - make_interval(secs => :shortest)),
           count(*) FILTER (WHERE completed_at > statement_timestamp() - make_interval(secs => :middle)), count(*)
    FROM celery_task_registry
    WHERE completed_at > statement_timestamp() - make_interval(secs => :longest)
      AND status IN ('SUCCESS', 'FAILURE', 'REVOKED')
    GROUP BY status
""")


def rates(connection: Connection) -> list[dict[str, Any]]:
    """For each window its name, how many tasks `succeeded`, `failed` and were `revoked`, and both rates.

    A rate is a share of those that succeeded or failed; None where there are none. Revoked tasks did not run to an end
    of their own, and count for neither.
    """
    spans = dict(zip(("shortest", "middle", "longest"), WINDOWS_S.values(), strict=True))
    none = [0] * len(WINDOWS_S)
    ended = {row.status: list(row[1:]) for row in connection.execute(_ENDED, spans)}
    counts = zip(*(ended.get(status, none) for status in ("SUCCESS", "FAILURE", "REVOKED")), strict=True)
    return [_window(name, *counted) for name, counted in zip(WINDOWS_S, counts, strict=True)]


def _window(name: str, succeeded: int, failed: int, revoked: int) -> dict[str, Any]:
    ended = succeeded + failed
    return {
        "window": name,
        "succeeded": succeeded,
        "failed": failed,
        "revoked": revoked,
        "success_rate": succeeded / ended if ended else None,
        "failure_rate": failed / ended if ended else None,
    }
