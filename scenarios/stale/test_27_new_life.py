"""STALE-27: a worker that returns under its old node name does not hide the tasks of its former life."""

import pytest

from harness import Cluster, Mode, dead_tasks_closed, executed, kill, live_tasks_untouched, restart, sever  # noqa: F401


@pytest.mark.promise("STALE-27")
def test_restarted_under_the_same_name(cluster: Cluster) -> None:
    """The worker is killed with a task and started again under the same name, which answers from then on."""
    first = cluster.worker("a")
    task = cluster.publish("hold", "working", queue="a")
    task.await_mark("working")
    cluster.await_record(task, {"STARTED"})

    cluster.inject(kill(first.process))
    cluster.worker("a", queues=["other"])
    cluster.await_record(task, {"REVOKED", "FAILURE"})

    cluster.judge(dead_tasks_closed(cluster.timing.recovery_bound_s), executed(task.id, exactly=1))
