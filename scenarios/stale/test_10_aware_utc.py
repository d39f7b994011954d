"""STALE-10: every time is aware, in UTC, and the database's, whatever the processes' clocks and zones say."""

import pytest

from harness import Cluster, times_true

BEFORE_CHANGE = {"America/New_York": "2026-11-01T05:59:59+00:00", "Pacific/Chatham": "2026-04-04T13:59:59+00:00"}
CLIENT_ZONE, WORKER_ZONE = "Pacific/Chatham", "America/New_York"


@pytest.mark.promise("STALE-10")
def test_zones_and_clocks_differ(cluster: Cluster) -> None:
    """Worker, database and client live in three zones; both processes' clocks run across a change to winter time."""
    cluster.query(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone TO ''Asia/Kathmandu''', current_database()); END $$"
    )
    client = cluster.client(environment={"TZ": CLIENT_ZONE})
    cluster.worker("a", environment={"TZ": WORKER_ZONE, "CELERY_CONFORMANCE_CLOCK": BEFORE_CHANGE[WORKER_ZONE]})
    client.ask("move_clock", moment=BEFORE_CHANGE[CLIENT_ZONE])

    tasks = [cluster.publish("ok", queue="a"), cluster.hold("a")]
    cluster.watch([tasks[1]], 1.5)
    tasks[1].release()
    for task in tasks:
        cluster.await_end(task)

    cluster.judge(times_true([task.id for task in tasks], tolerance_s=1.0))
