"""STALE-27: a worker that returns under its old node name does not hide the tasks of its former life."""

import pytest

from harness import Cluster, dead_tasks_closed, executed, kill, restart


@pytest.mark.promise("STALE-27")
def test_restarted_under_the_same_name(cluster: Cluster) -> None:
    """The worker is killed with a task and started again under the same name, which answers from then on."""
    first = cluster.worker("a")
    task = cluster.hold("a")

    cluster.inject(kill(first.process))
    cluster.worker("a", queues=["other"])
    cluster.await_record(task, {"REVOKED", "FAILURE"})

    cluster.judge(dead_tasks_closed(cluster.timing.recovery_bound_s), executed(task.id, exactly=1))


@pytest.mark.promise("STALE-27")
@pytest.mark.own_servers
def test_the_whole_cluster_goes_down_and_up(cluster: Cluster) -> None:
    """Both workers are killed and both servers restarted; then the same two names come up again."""
    names = ("a", "b")
    lives = [cluster.worker(name) for name in names]
    tasks = [cluster.hold(name) for name in names]

    for life in lives:
        cluster.inject(kill(life.process))
    outages = [cluster.inject(restart(server)) for server in (cluster.servers.redis, cluster.servers.postgres)]
    for outage in outages:
        cluster.heal(outage)
    cluster.reconnect()
    for name in names:
        cluster.worker(name, queues=["other"])
    for task in tasks:
        cluster.await_record(task, {"REVOKED", "FAILURE"})

    cluster.judge(dead_tasks_closed(cluster.timing.recovery_bound_s), *(executed(task.id, exactly=1) for task in tasks))
