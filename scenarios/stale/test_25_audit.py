"""STALE-25: each transition leaves from, to, when, who and why."""

import pytest

from harness import Cluster, audited, kill


@pytest.mark.promise("STALE-25")
def test_ordinary_lives(cluster: Cluster) -> None:
    """A success, a failure and a retry leave their whole way in the trail."""
    node = cluster.worker("a").node
    ways = {
        "ok": ("SUCCESS", [(None, "PENDING", "client"), ("PENDING", "STARTED", node), ("STARTED", "SUCCESS", node)]),
        "fail": ("FAILURE", [(None, "PENDING", "client"), ("PENDING", "STARTED", node), ("STARTED", "FAILURE", node)]),
        "retry_once": (
            "SUCCESS",
            [
                (None, "PENDING", "client"),
                ("PENDING", "STARTED", node),
                ("STARTED", "RETRY", node),
                ("RETRY", "STARTED", node),
                ("STARTED", "SUCCESS", node),
            ],
        ),
    }
    checks = []
    for name, (end, path) in ways.items():
        task = cluster.publish(name, queue="a")
        cluster.await_record(task, {end})
        cluster.audit(task)
        checks.append(audited(task.id, path))

    cluster.judge(*checks)


@pytest.mark.promise("STALE-25")
def test_an_end_that_a_sweep_decides(cluster: Cluster) -> None:
    """The trail of a dead worker's task names the sweep that closed it, and why."""
    cluster.worker("b")
    victim = cluster.worker("a")
    task = cluster.hold("a")
    cluster.inject(kill(victim.process))
    cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.audit(task)

    cluster.judge(
        audited(
            task.id,
            [
                (None, "PENDING", "client"),
                ("PENDING", "STARTED", victim.node),
                ("STARTED", "REVOKED", "sweep"),
            ],
        )
    )
