"""STALE-41: the record keeps its end."""

import pytest

from harness import Cluster, ends_kept, kill
from scenarios.stale.revocations import revoke_in_three_ways

LARGE_BYTES = 300_000


@pytest.mark.promise("STALE-41")
def test_each_end_keeps_what_belongs_to_it(cluster: Cluster) -> None:
    """A small and a large result, and a failure: each record tells its end and when it was."""
    limit = int(cluster.subject.limits["stored_result_bytes"])
    cluster.worker("a")
    small = cluster.publish("ok", [1, "two"], queue="a")
    large = cluster.publish("ok", "z" * LARGE_BYTES, queue="a")
    failed = cluster.publish("fail", "no such customer", queue="a")
    for task, end in {small: "SUCCESS", large: "SUCCESS", failed: "FAILURE"}.items():
        cluster.await_record(task, {end})

    cluster.judge(
        ends_kept(
            {
                small.id: {"status": "SUCCESS", "result": [1, "two"]},
                large.id: {"status": "SUCCESS"},
                failed.id: {
                    "status": "FAILURE",
                    "error_type": "ValueError",
                    "error_message": ("no such customer",),
                },
            },
            result_limit_bytes=limit,
            truncated={large.id: LARGE_BYTES} if limit else {},
        )
    )


@pytest.mark.promise("STALE-41")
def test_revoked_in_three_ways(cluster: Cluster) -> None:
    """Tasks expire, are revoked while they wait, and are terminated: each record says at which worker, and why."""
    worker = cluster.worker("a")
    revoked = revoke_in_three_ways(cluster, worker)

    ways = {revoked.expired: "expired", revoked.terminated: "terminated", revoked.waiting: "revoked"}
    cluster.judge(
        ends_kept(
            {
                task.id: {"status": "REVOKED", "ended_by": (worker.node,), "error_message": (why,)}
                for task, why in ways.items()
            }
        )
    )


@pytest.mark.promise("STALE-41")
def test_who_and_why(cluster: Cluster) -> None:
    """A task that a sweep revoked says by whom, and why."""
    sweeper = cluster.worker("b")
    victim = cluster.worker("a")
    task = cluster.hold("a")
    cluster.inject(kill(victim.process))
    cluster.await_record(task, {"REVOKED"})

    who, why = ("sweep", sweeper.node), (victim.node, "died")
    cluster.judge(ends_kept({task.id: {"status": "REVOKED", "ended_by": who, "error_message": why}}))
