"""OPS-08: time stamps of every kind stand side by side, in the right order."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from harness import Cluster, Stored, lines_true, recent_first

NOON = (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
NEWEST_FIRST = (
    (NOON.astimezone(timezone(timedelta(hours=-7))).isoformat(), NOON),
    ((NOON - timedelta(hours=1)).isoformat().replace("+00:00", "Z"), NOON - timedelta(hours=1)),
    ((NOON - timedelta(hours=2)).replace(tzinfo=None).isoformat(), NOON - timedelta(hours=2)),
    (
        (NOON - timedelta(hours=3)).astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
        NOON - timedelta(hours=3),
    ),
    ((NOON - timedelta(hours=4)).timestamp(), NOON - timedelta(hours=4)),
)


@pytest.mark.promise("OPS-08")
def test_stamps_of_all_kinds(cluster: Cluster) -> None:
    """With an offset, with a Z, with neither, as seconds, missing, and nonsense; and a task that really ran."""
    api = cluster.api()
    cluster.worker("a")
    dated = [Stored(date_done=given) for given, _ in NEWEST_FIRST]
    undated = [Stored(date_done=given) for given in (None, "yesterday", "2026-13-45", [1])]
    cluster.store([dated[number] for number in (2, 0, 4, 1, 3)])
    for entry in undated:
        cluster.store([entry])
    task = cluster.publish("ok", queue="a")
    cluster.await_end(task)

    api.await_sitrep(lambda told: told["remarks"]["unread"] == 0)

    expected: dict[str, dict[str, Any]] = {
        entry.task_id: {"completed_at": moment, "duration_seconds": None}
        for entry, (_, moment) in zip(dated, NEWEST_FIRST, strict=True)
    }
    ran = {task.id: {"started_at": ..., "completed_at": ..., "duration_seconds": ...}}
    order = [task.id, *(entry.task_id for entry in reversed(undated)), *(entry.task_id for entry in dated)]
    cluster.judge(lines_true(expected | ran), recent_first(order))
