"""STALE-40: a task that kills whoever executes it is not delivered for ever."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness import Cluster, Record, ends_kept, executed, expire_visibility, kill, still_up

WHY = ("lost", "not executed again")


def begun(count: int) -> Callable[[Record], bool]:
    """Whether a record tells of so many attempts, and that the last one runs."""
    return lambda record: record.attempts == count and record.status == "STARTED"


@pytest.mark.promise("STALE-40")
def test_it_kills_each_child(cluster: Cluster) -> None:
    """With `task_reject_on_worker_lost` the message comes back at once: after so many deaths the task is a FAILURE."""
    limit = int(cluster.subject.limits["lost_attempts_max"])
    worker = cluster.worker("a", concurrency=2)
    task = cluster.publish("hold_lost", queue="a")
    for count in range(1, limit + 1):
        child = task.await_mark(count=count).value["pid"]
        cluster.await_record(task, begun(count))
        cluster.inject(kill(worker.process, pid=child))
    cluster.await_record(task, {"FAILURE"})
    after = cluster.publish("ok", queue="a")
    cluster.await_end(after)
    cluster.inspect()

    cluster.judge(
        executed(task.id, exactly=limit),
        ends_kept({task.id: {"status": "FAILURE", "error_message": WHY}}),
        still_up([worker.node]),
    )


@pytest.mark.promise("STALE-40")
@pytest.mark.redis_broker
def test_it_kills_each_worker(cluster: Cluster) -> None:
    """Acknowledged late, the message comes back after each death of a worker: the next one is not given it for ever."""
    limit = int(cluster.subject.limits["lost_attempts_max"])
    cluster.worker("b", timing=replace(cluster.timing, policy="redeliver"))
    task = cluster.publish("hold_late", queue="a")
    for count in range(1, limit + 1):
        victim = cluster.worker("a")
        task.await_mark(count=count)
        cluster.await_record(task, begun(count))
        cluster.inject(kill(victim.process))
        cluster.await_record(task, {"RETRY"})
        cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    cluster.worker("a")
    cluster.await_record(task, {"FAILURE"})

    cluster.judge(executed(task.id, exactly=limit), ends_kept({task.id: {"status": "FAILURE", "error_message": WHY}}))
