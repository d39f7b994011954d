"""STALE-11: a task that works gives signs of life, even where its interpreter cannot."""

import pytest

from harness import Cluster, gil_was_held, heartbeat_moves, live_tasks_untouched


@pytest.mark.promise("STALE-11")
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_inside_a_call_that_holds_the_gil(cluster: Cluster, pool: str) -> None:
    """A task stays in one C call for several leases; its heartbeat moves at the configured interval."""
    cluster.worker("b")
    cluster.worker("a", pool=pool)
    task = cluster.publish("hold_gil", "inside", queue="a")
    task.await_mark("inside")
    cluster.await_record(task, {"STARTED"})

    cluster.watch([task], 2.2 * cluster.timing.lease_s)
    task.release_gil("inside")
    cluster.await_end(task)

    cluster.judge(
        heartbeat_moves(task.id, cluster.timing.heartbeat_s, cluster.timing.lease_s),
        gil_was_held(task.id, 2 * cluster.timing.lease_s),
        live_tasks_untouched(),
    )
