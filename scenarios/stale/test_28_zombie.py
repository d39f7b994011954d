"""STALE-28: a worker that stands still for less than its lease is left alone; one that wakes too late is fenced."""

from contextlib import suppress
from dataclasses import replace

import pytest
from psycopg import sql

from harness import Cluster, NeverCame, Task, freeze, hold_rows, live_tasks_untouched, zombie_fenced


def return_late(cluster: Cluster, task: Task) -> None:
    """The task returns at the worker that has just woken, and its trail is looked at once that is told."""
    task.release()
    task.await_end()
    with suppress(NeverCame):  # a trail that never tells is for the check to judge
        cluster.await_seen(
            f"a late SUCCESS in the trail of {task.id}",
            lambda: any(step["to_status"] == "SUCCESS" for step in cluster.view.audit(task.id)) or None,
        )
    cluster.record(task)
    cluster.audit(task)


@pytest.mark.promise("STALE-28")
def test_still_for_less_than_a_lease(cluster: Cluster) -> None:
    """A worker stands still for three fifths of its lease, silent: nothing happens to its task, then or later."""
    patient = replace(cluster.timing, lease_s=5.0)  # two roll calls and the sweeps before them fit into three fifths
    cluster.worker("b", timing=patient)
    slow = cluster.worker("a", timing=replace(patient, sweep_interval_s=patient.lease_s - patient.heartbeat_s))
    task = cluster.hold("a")
    cluster.watch([task], patient.lease_s + patient.heartbeat_s)  # sweeps watch for a lease before any counts

    fault = cluster.inject(freeze(slow.process))
    cluster.watch([task], patient.lease_s * 3 / 5)
    cluster.heal(fault)
    cluster.watch([task], patient.recovery_bound_s)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched())


@pytest.mark.promise("STALE-28")
def test_still_for_longer_than_a_lease(cluster: Cluster) -> None:
    """A worker stands still until its task is swept; it wakes, returns, and its late SUCCESS is refused and noted."""
    cluster.worker("b")
    zombie = cluster.worker("a")
    task = cluster.hold("a")

    fault = cluster.inject(freeze(zombie.process))
    cluster.await_record(task, {"REVOKED"})
    cluster.heal(fault)
    return_late(cluster, task)

    cluster.judge(zombie_fenced(task.id, "SUCCESS"))


@pytest.mark.promise("STALE-28")
@pytest.mark.requires("registration-table")
def test_still_in_the_middle_of_a_sweep(cluster: Cluster) -> None:
    """A worker stands still while it sweeps itself: it does not keep the others from sweeping its own task."""
    zombie = cluster.worker("a")
    task = cluster.hold("a")

    table = sql.Identifier(cluster.subject.tables["registration"])
    locked = hold_rows(cluster.database_url, sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table), "a sweep")
    cluster.inject(locked)
    cluster.watch([task], 2 * cluster.timing.sweep_interval_s)
    frozen = cluster.inject(freeze(zombie.process))
    cluster.heal(locked)
    cluster.worker("b")
    cluster.await_record(task, {"REVOKED"})
    cluster.heal(frozen)
    return_late(cluster, task)

    cluster.judge(zombie_fenced(task.id, "SUCCESS"))
