"""STALE-22: however many workers sweep at once, each stale task is closed once."""

import pytest
from psycopg import sql

from harness import Cluster, closed_once, dead_tasks_closed, hold_rows, kill

TASKS, SWEEPERS = 50, 10


@pytest.mark.promise("STALE-22")
def test_ten_workers_become_ready_at_once(cluster: Cluster) -> None:
    """Fifty tasks are stale when ten workers start; their rows are locked until all ten are up and sweeping."""
    table = cluster.subject.tables["registry"]
    victim = cluster.worker("a", pool="threads", concurrency=TASKS)
    tasks = [cluster.publish("hold", queue="a") for _ in range(TASKS)]
    for task in tasks:
        task.await_mark()
        cluster.await_record(task, {"STARTED"})
    cluster.inject(kill(victim.process))
    rows = sql.SQL("SELECT 1 FROM {} FOR UPDATE").format(sql.Identifier(table))
    lock = cluster.inject(hold_rows(cluster.database_url, rows, "every record"), await_landing=False)

    sweepers = [cluster.worker(f"w{number}", pool="solo", wait=False) for number in range(SWEEPERS)]
    for sweeper in sweepers:
        cluster.await_worker(sweeper)
    cluster.await_landing(lock)
    cluster.heal(lock)
    for task in tasks:
        cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.watch(tasks[:1], 2 * cluster.timing.sweep_interval_s)
    for task in tasks:
        cluster.audit(task)

    cluster.judge(closed_once([task.id for task in tasks]), dead_tasks_closed(2 * cluster.timing.recovery_bound_s))
