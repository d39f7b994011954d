"""STALE-11: a task that works gives signs of life, even where its interpreter cannot."""

import pytest

from harness import (
    Cluster,
    Task,
    dead_tasks_closed,
    freeze,
    gil_was_held,
    heartbeat_moves,
    heartbeat_stands,
    kill,
    live_tasks_untouched,
)


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


def await_beat(cluster: Cluster, task: Task) -> None:
    """Wait until whatever renews from outside has begun to."""
    first = cluster.record(task)
    cluster.await_record(task, lambda record: first is not None and record.last_heartbeat != first.last_heartbeat)


@pytest.mark.promise("STALE-11")
def test_the_worker_alone_dies(cluster: Cluster) -> None:
    """Only the worker's own process is killed: whatever renews its lease from outside stops then."""
    cluster.worker("b")
    victim = cluster.worker("a", pool="solo")
    task = cluster.hold("a")
    await_beat(cluster, task)

    cluster.inject(kill(victim.process, whole=False))
    cluster.await_record(task, {"REVOKED", "FAILURE"})

    cluster.judge(dead_tasks_closed(cluster.timing.recovery_bound_s))


@pytest.mark.promise("STALE-11")
def test_the_executing_child_is_stopped(cluster: Cluster) -> None:
    """The worker lives and the child that executes is stopped: the task has no heartbeat, and is nobody else's."""
    worker = cluster.worker("a")
    task = cluster.hold("a")
    await_beat(cluster, task)
    child = cluster.history.truth("start", task.id)[0].value["pid"]

    fault = cluster.inject(freeze(worker.process, pid=child))
    cluster.watch([task], 2 * cluster.timing.heartbeat_s)
    cluster.note("stopped")
    cluster.watch([task], cluster.timing.lease_s)
    cluster.note("about to go on")
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)

    cluster.judge(heartbeat_stands(task.id, "stopped", "about to go on"), live_tasks_untouched())
