"""STALE-19: a worker that dies between a handler's write and its commit does not lose the task to tracking."""

import pytest
from psycopg import sql

from harness import Cluster, dead_tasks_closed, ends_kept, executed, hold_rows, kill, occupy


@pytest.mark.promise("STALE-19")
@pytest.mark.requires("audit")
@pytest.mark.parametrize("waits_for", ["the record", "the audit trail"])
def test_killed_before_the_commit(cluster: Cluster, waits_for: str) -> None:
    """A lock from outside keeps the start from being committed; the worker dies meanwhile, and what it had kept too."""
    registry, audit = (sql.Identifier(cluster.subject.tables[role]) for role in ("registry", "audit"))
    cluster.worker("b")
    task = cluster.publish("hold", queue="a")
    cluster.await_record(task, {"PENDING"})
    cluster.inject(occupy(cluster.state))
    locks = {
        "the record": sql.SQL("SELECT 1 FROM {} WHERE task_id = {} FOR UPDATE").format(registry, sql.Literal(task.id)),
        "the audit trail": sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(audit),
    }
    lock = cluster.inject(hold_rows(cluster.database_url, locks[waits_for], waits_for), await_landing=False)

    victim = cluster.worker("a")
    task.await_mark()
    cluster.await_landing(lock)
    cluster.inject(kill(victim.process))
    cluster.heal(lock)
    cluster.await_record(task, {"REVOKED", "FAILURE"})

    cluster.judge(
        dead_tasks_closed(cluster.timing.recovery_bound_s),
        executed(task.id, exactly=1),
        ends_kept({task.id: {"status": "REVOKED"}}),
    )
