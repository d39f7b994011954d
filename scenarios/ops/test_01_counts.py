"""OPS-01: the figures are real, wherever what they count is to be found."""

from datetime import UTC, datetime

import pytest

from harness import Cluster, Stored, figures_true

A_DAY_S = 86_400


@pytest.mark.promise("OPS-01")
def test_a_known_mix(cluster: Cluster) -> None:
    """Two workers hold tasks of each kind; results are in Redis alone, in the registry alone, and in both."""
    api = cluster.api()
    workers = [cluster.worker("a"), cluster.worker("b")]
    for name in ("a", "b", "b"):
        cluster.await_end(cluster.publish("ok", queue=name))
    cluster.await_end(cluster.publish("fail", queue="a"), "FAILURE")
    held = [cluster.hold("a"), cluster.hold("b")]
    for worker, queue, options in (
        (workers[0], "a", {}),
        (workers[1], "b", {}),
        (workers[1], "b", {"countdown": A_DAY_S}),
    ):
        waiting = cluster.publish("ok", queue=queue, options=options)
        assert cluster.await_log(worker.process, "received", waiting.id)
    error = {"exc_type": "E", "exc_message": ["m"]}
    cluster.store([*(Stored() for _ in range(4)), *(Stored("FAILURE", error) for _ in range(2))])
    now = datetime.now(UTC)
    for status in ("SUCCESS", "SUCCESS", "FAILURE"):
        cluster.plant(cluster.unpublished("ok"), status=status, queued_at=now, completed_at=now)

    nodes = sorted(worker.node for worker in workers)
    api.await_sitrep(lambda told: told["remarks"]["unread"] == 0 and told["remarks"]["workers"] == nodes)
    for task in held:
        task.release()
        cluster.await_end(task)

    cluster.judge(figures_true(active=2, pending=3, completed=3 + 4 + 2, failed=1 + 2 + 1))
