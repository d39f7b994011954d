"""STALE-19: a worker that dies between a handler's write and its commit does not lose the task to tracking."""

import pytest
from psycopg import sql

from harness import Cluster, dead_tasks_closed, executed, hold_rows, kill


@pytest.mark.promise("STALE-19")
def test_killed_before_the_commit(cluster: Cluster) -> None:
    """The row is locked from outside, so the start cannot be committed; the worker is killed while it waits."""
    table = cluster.subject.tables["registry"]
    cluster.worker("b")
    task = cluster.publish("hold", queue="a")
    cluster.await_record(task, {"PENDING"})
    row = sql.SQL("SELECT 1 FROM {} WHERE task_id = {} FOR UPDATE").format(sql.Identifier(table), sql.Literal(task.id))
    lock = cluster.inject(hold_rows(cluster.database_url, row, f"the record of {task.id}"), await_landing=False)

    victim = cluster.worker("a")
    task.await_mark()
    cluster.await_landing(lock)
    cluster.inject(kill(victim.process))
    cluster.heal(lock)
    cluster.await_record(task, {"REVOKED", "FAILURE"})

    cluster.judge(dead_tasks_closed(cluster.timing.recovery_bound_s), executed(task.id, exactly=1))
