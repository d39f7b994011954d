"""STATE-09: what the monitor commands tell is what workers do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from harness import Cluster, monitors_agree

STUCK_AFTER_S = 1.0
OLD_S = 3600


@pytest.mark.promise("STATE-09")
def test_as_the_workers_say(cluster: Cluster) -> None:
    """Two workers execute a task each, of which one makes no progress; others ended long ago, or just now."""
    cluster.worker("a")
    cluster.worker("b")
    still, moving = cluster.hold("a"), cluster.hold("b", task="advance")
    recent, *old = (cluster.unpublished("ok") for _ in range(3))
    waiting = cluster.unpublished("ok")
    now, long_ago = datetime.now(UTC), datetime.now(UTC) - timedelta(seconds=2 * OLD_S)
    for task in old:
        cluster.plant(task, status="SUCCESS", queued_at=long_ago, completed_at=long_ago)
    cluster.plant(recent, status="SUCCESS", queued_at=long_ago, completed_at=now)
    cluster.plant(waiting, status="PENDING", queued_at=long_ago)
    cluster.watch([still, moving], STUCK_AFTER_S)

    watchful = replace(cluster.timing, stuck_after_s=STUCK_AFTER_S)
    for command in ("active-tasks", "stuck-tasks", "stats"):
        cluster.run_command(command, timing=watchful)
    for flags in (["--dry-run"], []):
        cluster.run_command("clear-old-tasks", "--older-than", str(OLD_S), *flags)
        for task in (*old, recent, waiting):
            cluster.record(task)
    for task in (still, moving):
        task.release()
        cluster.await_end(task)

    cluster.judge(
        monitors_agree(
            executing=[still.id, moving.id],
            stuck=[still.id],
            cleared=[task.id for task in old],
            kept=[recent.id, waiting.id],
        )
    )
