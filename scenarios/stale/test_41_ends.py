"""STALE-41: the record keeps its end."""

import pytest

from harness import Cluster, ends_kept, kill


@pytest.mark.promise("STALE-41")
def test_each_end_keeps_what_belongs_to_it(cluster: Cluster) -> None:
    """A small and a large result, a failure, an expiry: each record tells its end and when it was."""
    cluster.worker("a")
    small = cluster.publish("ok", [1, "two"], queue="a")
    large = cluster.publish("ok", "z" * 300_000, queue="a")
    failed = cluster.publish("fail", "no such customer", queue="a")
    expired = cluster.publish("ok", queue="a", options={"expires": -1})
    for task, end in {small: "SUCCESS", large: "SUCCESS", failed: "FAILURE", expired: "REVOKED"}.items():
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
                expired.id: {"status": "REVOKED"},
            },
            result_limit_bytes=int(cluster.subject.limits["stored_result_bytes"]),
        )
    )


@pytest.mark.promise("STALE-41")
def test_who_and_why(cluster: Cluster) -> None:
    """A task that a sweep revoked says by whom, and why."""
    cluster.worker("b")
    victim = cluster.worker("a")
    task = cluster.hold("a")
    cluster.inject(kill(victim.process))
    cluster.await_record(task, {"REVOKED"})

    cluster.judge(
        ends_kept(
            {task.id: {"status": "REVOKED", "ended_by": ("sweep",), "error_message": (victim.node, "died")}},
            result_limit_bytes=0,
        )
    )
