"""STALE-10: every time is aware, in UTC, and the database's, whatever the processes' clocks and zones say."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from harness import Cluster, times_true

CLIENT_ZONE, WORKER_ZONE = "Pacific/Chatham", "America/New_York"
BEFORE_CHANGE = {
    "to winter time": {WORKER_ZONE: "2026-11-01T05:59:59+00:00", CLIENT_ZONE: "2026-04-04T13:59:59+00:00"},
    "to summer time": {WORKER_ZONE: "2026-03-08T06:59:59+00:00", CLIENT_ZONE: "2026-09-26T13:59:59+00:00"},
}


def offset_s(zone: str, moment: str) -> float:
    """How far a zone's clocks are from UTC at a moment."""
    offset = datetime.fromisoformat(moment).astimezone(ZoneInfo(zone)).utcoffset()
    assert offset
    return offset.total_seconds()


@pytest.mark.promise("STALE-10")
@pytest.mark.parametrize("change", BEFORE_CHANGE)
def test_zones_and_clocks_differ(cluster: Cluster, change: str) -> None:
    """Worker, database and client live in three zones; both processes' clocks run across a change of the hour."""
    moments = BEFORE_CHANGE[change]
    cluster.query(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone TO ''Asia/Kathmandu''', current_database()); END $$"
    )
    client = cluster.client(environment={"TZ": CLIENT_ZONE})
    worker = cluster.worker("a", environment={"TZ": WORKER_ZONE, "CELERY_CONFORMANCE_CLOCK": moments[WORKER_ZONE]})
    client.ask("move_clock", moment=moments[CLIENT_ZONE])

    tasks = [cluster.publish("ok", queue="a"), cluster.hold("a")]
    cluster.watch([tasks[1]], 1.5)
    tasks[1].release()
    for task in tasks:
        cluster.await_end(task)
        cluster.audit(task)
    cluster.note_logs()

    arranged = {worker.node: WORKER_ZONE, "client": CLIENT_ZONE}
    zones = {process: offset_s(zone, moments[zone]) for process, zone in arranged.items()}
    cluster.judge(times_true([task.id for task in tasks], tolerance_s=1.0, zones=zones))
