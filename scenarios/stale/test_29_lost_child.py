"""STALE-29: a pool child that is killed takes its task along for seconds, and no sweep is needed."""

from dataclasses import replace

import pytest

from harness import Cluster, Task, Worker, dead_tasks_closed, ends_kept, executed, kill
from scenarios.stale.deaths import SECONDS


def lose_the_child(cluster: Cluster, name: str) -> tuple[Worker, Task]:
    """The child that executes a task of this name is killed; the next sweep of its worker is far away."""
    rarely = replace(cluster.timing, heartbeat_s=10.0, lease_s=60.0, sweep_interval_s=30.0)
    worker = cluster.worker("a", timing=rarely)
    task = cluster.hold("a", task=name)
    child = cluster.history.truth("start", task.id)[0].value["pid"]
    cluster.inject(kill(worker.process, pid=child))
    return worker, task


@pytest.mark.promise("STALE-29")
def test_acknowledged_when_it_began(cluster: Cluster) -> None:
    """No message is left: the task becomes FAILURE and says that its worker was lost."""
    _, task = lose_the_child(cluster, "hold")
    cluster.await_record(task, {"FAILURE", "REVOKED"})

    lost = {"status": "FAILURE", "error_type": "WorkerLostError"}
    cluster.judge(dead_tasks_closed(SECONDS), executed(task.id, exactly=1), ends_kept({task.id: lost}))


@pytest.mark.promise("STALE-29")
def test_delivered_again_where_so_configured(cluster: Cluster) -> None:
    """With `task_reject_on_worker_lost` the message goes back: the next child executes it."""
    _, task = lose_the_child(cluster, "hold_lost")
    task.await_mark(count=2)
    task.release()
    cluster.await_end(task)

    ended = {"status": "SUCCESS"}
    cluster.judge(dead_tasks_closed(SECONDS), executed(task.id, exactly=2), ends_kept({task.id: ended}))
