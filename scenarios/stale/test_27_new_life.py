"""STALE-27: a worker that returns under its old node name does not hide the tasks of its former life."""

import pytest

from harness import Cluster, dead_tasks_closed, executed, kill, live_tasks_untouched, restart, still_up


@pytest.mark.promise("STALE-27")
def test_restarted_under_the_same_name(cluster: Cluster) -> None:
    """A worker is killed and started again under its name, which answers; only its former life's task is closed."""
    first = cluster.worker("a")
    task = cluster.hold("a")

    cluster.inject(kill(first.process))
    second = cluster.worker("a", queues=["other"])
    live = cluster.hold("other")
    cluster.inspect()
    cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.watch([live], 2 * (cluster.timing.sweep_interval_s + cluster.timing.ping_timeout_s))
    live.release()
    cluster.await_end(live)

    cluster.judge(
        dead_tasks_closed(cluster.timing.recovery_bound_s),
        executed(task.id, exactly=1),
        live_tasks_untouched(),
        still_up([second.node]),
    )


@pytest.mark.promise("STALE-27")
@pytest.mark.own_servers
def test_the_whole_cluster_goes_down_and_up(cluster: Cluster) -> None:
    """Both workers are killed and both servers restarted; then the same two names come up again."""
    names = ("a", "b")
    lives = [cluster.worker(name) for name in names]
    tasks = [cluster.hold(name) for name in names]

    for life in lives:
        cluster.inject(kill(life.process))
    outages = [cluster.inject(restart(server)) for server in (cluster.servers.broker, cluster.servers.postgres)]
    for outage in outages:
        cluster.heal(outage)
    cluster.reconnect()
    cluster.worker(names[0], queues=["other"])
    second = cluster.worker(names[1], queues=["other"], wait=False)
    for task in tasks:
        cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.await_worker(second)

    cluster.judge(dead_tasks_closed(cluster.timing.recovery_bound_s), *(executed(task.id, exactly=1) for task in tasks))
