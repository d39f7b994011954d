"""STALE-38: however often the end of a task is told, it has one."""

import pytest

from harness import Cluster, ended_once, executed, expire_visibility


@pytest.mark.promise("STALE-38")
def test_a_hard_time_limit(cluster: Cluster) -> None:
    """Celery tells the end of a task over its hard limit when it kills the child, and again when the child is gone."""
    cluster.worker("a")
    task = cluster.publish("hold", queue="a", options={"time_limit": 1})
    cluster.await_record(task, {"FAILURE"})
    after = cluster.publish("ok", queue="a")
    cluster.await_end(after)
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.audit(task)

    cluster.judge(ended_once([task.id]), executed(after.id, exactly=1))


@pytest.mark.promise("STALE-38")
@pytest.mark.redis_broker
@pytest.mark.parametrize("first", [0, 1], ids=["the first delivery ends first", "the second delivery ends first"])
def test_both_sides_of_a_redelivery(cluster: Cluster, first: int) -> None:
    """Two workers execute the same task, and each comes to an end: the record has one, and keeps its time."""
    workers = [cluster.worker("a", pool="solo")]  # which takes no message while it executes one
    task = cluster.publish("hold_apart", queue="a")
    marks = [f"working at {workers[0].node}"]
    task.await_mark(marks[0])
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    workers.append(cluster.worker("b", queues=["a"]))
    marks.append(f"working at {workers[1].node}")
    task.await_mark(marks[1])
    cluster.await_record(task, lambda record: record.attempts == 2)

    for count, number in enumerate((first, 1 - first), 1):
        task.release(marks[number])
        task.await_end(count=count)
        cluster.await_log(workers[number].process, "succeeded", task.id)
        cluster.record(task)
    cluster.await_record(task, {"SUCCESS"})
    cluster.audit(task)

    cluster.judge(ended_once([task.id]), executed(task.id, exactly=2))
