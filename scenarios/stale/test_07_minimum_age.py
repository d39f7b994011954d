"""STALE-07: a young record is left alone, whatever is known about its worker."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from harness import Cluster, unchanged_between, untouched_until

MINIMUM_AGE_S = 4.5


@pytest.mark.promise("STALE-07")
def test_a_record_of_an_unknown_worker(cluster: Cluster) -> None:
    """A started record names a worker that nobody knows: nothing happens to it until the minimum age."""
    timing = replace(cluster.timing, minimum_age_s=MINIMUM_AGE_S)
    cluster.worker("b", timing=timing)
    task = cluster.unpublished("hold")
    now = datetime.now(UTC)
    cluster.plant(
        task, status="STARTED", name="conformance.hold", worker_id="ghost@nowhere", queued_at=now, started_at=now
    )
    cluster.record(task)
    cluster.note("planted")
    cluster.watch([task], MINIMUM_AGE_S - 1.0)
    if datetime.now(UTC) - now < timedelta(seconds=MINIMUM_AGE_S):
        cluster.note("still young")  # later than that, what was seen may be right, and proves nothing

    cluster.await_record(task, {"REVOKED", "FAILURE"}, within_s=timing.recovery_bound_s * 2)

    cluster.judge(
        untouched_until(task.id, MINIMUM_AGE_S),
        unchanged_between(task.id, "planted", "still young", kind="touched-while-young"),
    )
