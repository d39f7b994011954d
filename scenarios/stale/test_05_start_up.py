"""STALE-05: a worker that starts does no harm to tasks of workers that live, in whatever order things happen."""

from dataclasses import replace
from random import Random

import pytest
from psycopg import sql

from harness import Cluster, Mode, disconnect, hold_rows, live_tasks_untouched, outcome_unharmed, sever


@pytest.mark.promise("STALE-05")
def test_staggered_starts(cluster: Cluster, harness_seed: int) -> None:
    """Workers start in any order, some together; tasks run from before, from between and from after the starts."""
    chance = Random(harness_seed)  # noqa: S311 - a choice to be repeated, not a secret
    first, *others = chance.sample(["a", "b", "c", "d", "e"], 5)
    cluster.worker(first, concurrency=2)
    tasks = [cluster.hold(first)]

    together = set(chance.sample(others, 2))
    started = []
    for name in others:
        started.append(cluster.worker(name, concurrency=2, wait=name not in together))
        tasks.append(cluster.publish("hold", queue=chance.choice([first, name])))
    for worker in started:
        cluster.await_worker(worker)
    tasks.append(cluster.hold(others[-1]))
    cluster.watch(tasks, cluster.timing.recovery_bound_s)
    for task in tasks:
        task.release()
    for task in tasks:
        cluster.await_end(task)

    cluster.judge(live_tasks_untouched())


@pytest.mark.promise("STALE-05")
@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.SWALLOW, Mode.CUT])
def test_replies_that_do_not_arrive(cluster: Cluster, mode: Mode) -> None:
    """A working worker does not answer: its link to the broker holds, drops or cuts, while another one starts."""
    running = cluster.worker("a", behind_proxy=True)
    task = cluster.hold("a")

    fault = cluster.inject(sever(running.broker, mode), await_landing=False)
    cluster.worker("b")
    cluster.inspect()
    cluster.await_landing(fault)
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched())


@pytest.mark.promise("STALE-05")
@pytest.mark.parametrize("mode", [Mode.DELAY, Mode.SWALLOW, Mode.CUT])
def test_a_sweeper_that_hears_nothing(cluster: Cluster, mode: Mode) -> None:
    """A worker that lives has lost its lease, and what it answers reaches the sweeper late, never, or cut short."""
    running = cluster.worker("a", behind_proxy=True)
    sweeper = cluster.worker("b", behind_proxy=True)
    task = cluster.hold("a")

    lease = cluster.inject(sever(running.postgres, Mode.REFUSE))
    late = 2 * cluster.timing.ping_timeout_s
    replies = cluster.inject(sever(sweeper.broker, mode, delay_s=late), await_landing=False)
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.await_landing(replies)
    cluster.heal(replies)
    cluster.heal(lease)
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


@pytest.mark.containers
@pytest.mark.promise("STALE-05")
def test_off_the_network_for_a_moment(cluster: Cluster) -> None:
    """A worker is off the network, for less than its lease, while another one starts: then it goes on."""
    running = cluster.worker("a", timing=replace(cluster.timing, lease_s=30.0))
    task = cluster.hold("a")

    fault = cluster.inject(disconnect(running.process))
    cluster.worker("b")
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)
    cluster.result(task)

    cluster.judge(live_tasks_untouched(), outcome_unharmed({task.id: ("SUCCESS", "'released'")}))
