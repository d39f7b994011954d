"""STALE-05: a worker that starts does no harm to tasks of workers that live, in whatever order things happen."""

import pytest
from psycopg import sql

from harness import Cluster, Mode, hold_rows, live_tasks_untouched, outcome_unharmed, sever


@pytest.mark.promise("STALE-05")
def test_staggered_starts(cluster: Cluster) -> None:
    """Workers start one after the other, each while a task of the one before runs."""
    tasks = []
    for name in ("a", "b", "c"):
        cluster.worker(name)
        tasks.append(cluster.hold(name))

    cluster.watch(tasks, cluster.timing.recovery_bound_s)
    for task in tasks:
        task.release()
        cluster.await_end(task)

    cluster.judge(live_tasks_untouched())


@pytest.mark.promise("STALE-05")
@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.SWALLOW, Mode.CUT])
def test_replies_that_do_not_arrive(cluster: Cluster, mode: Mode) -> None:
    """The replies of a working worker are held, dropped or truncated while another one starts and sweeps."""
    running = cluster.worker("a", behind_proxy=True)
    task = cluster.hold("a")

    fault = cluster.inject(sever(running.redis, mode), await_landing=False)
    cluster.worker("b")
    cluster.await_landing(fault)
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched())


@pytest.mark.promise("STALE-05")
@pytest.mark.requires("registration-table")
def test_up_but_not_yet_registered(cluster: Cluster) -> None:
    """A worker whose registration is still waiting for a lock already executes when another one sweeps."""
    cluster.worker("b")
    table = cluster.subject.tables["registration"]
    lock = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(sql.Identifier(table))
    fault = cluster.inject(hold_rows(cluster.database_url, lock, table), await_landing=False)
    cluster.worker("a")
    cluster.await_landing(fault)
    task = cluster.hold("a")

    cluster.worker("c")
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)
    cluster.result(task)

    cluster.judge(live_tasks_untouched(), outcome_unharmed({task.id: ("SUCCESS", "'released'")}))
