"""STALE-42: what the kernel kills for its memory does not stay STARTED."""

import pytest

from harness import Cluster, dead_tasks_closed, ends_kept, exhaust_memory, live_tasks_untouched

LIMIT_MB = 320
CELERY_LOOKS_AT_ITS_POOL_EVERY_S = 5.0


@pytest.mark.containers
@pytest.mark.promise("STALE-42")
def test_the_child_is_killed(cluster: Cluster) -> None:
    """Of two pool children one outgrows the worker's memory and is killed; the other one works on."""
    worker = cluster.worker("a", concurrency=2, memory_mb=LIMIT_MB)
    neighbour = cluster.hold("a")
    task = cluster.hold("a", task="grow")

    child = cluster.history.truth("start", task.id)[0].value["pid"]
    cluster.inject(exhaust_memory(worker.process, task.release, pid=child))
    cluster.await_record(task, {"REVOKED", "FAILURE"})
    neighbour.release()
    cluster.await_end(neighbour)

    bound_s = CELERY_LOOKS_AT_ITS_POOL_EVERY_S + cluster.timing.recovery_bound_s
    lost = {"status": "FAILURE", "error_type": "WorkerLostError"}
    cluster.judge(
        dead_tasks_closed(bound_s),
        live_tasks_untouched(),
        ends_kept({task.id: lost}),
    )


@pytest.mark.containers
@pytest.mark.promise("STALE-42")
def test_the_worker_is_killed(cluster: Cluster) -> None:
    """A solo worker is killed itself, and its container with it; another one closes the task."""
    sweeper = cluster.worker("b")
    victim = cluster.worker("a", pool="solo", memory_mb=LIMIT_MB)
    task = cluster.hold("a", task="grow")

    cluster.inject(exhaust_memory(victim.process, task.release))
    cluster.await_record(task, {"REVOKED", "FAILURE"})

    who, why = ("sweep", sweeper.node), (victim.node, "died")
    cluster.judge(
        dead_tasks_closed(cluster.timing.recovery_bound_s),
        ends_kept({task.id: {"status": "REVOKED", "ended_by": who, "error_message": why}}),
    )
