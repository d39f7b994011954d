"""STALE-34: the broker goes down and comes up while a task runs, and tracking goes on."""

import pytest

from harness import (
    Cluster,
    dead_tasks_closed,
    ends_kept,
    executed,
    kill,
    live_tasks_untouched,
    outcome_unharmed,
    restart,
)


@pytest.mark.promise("STALE-34")
@pytest.mark.own_servers
def test_work_goes_on(cluster: Cluster) -> None:
    """A task that is executed meanwhile ends once, and so does one that is published afterwards."""
    cluster.worker("a")
    task = cluster.hold("a")

    outage = cluster.inject(restart(cluster.servers.broker))
    cluster.watch([], cluster.timing.recovery_bound_s)
    cluster.heal(outage)
    task.release()
    task.await_end()
    after = cluster.publish("ok", queue="a")
    cluster.result(after)
    # Not before: Celery's own waiting looks for results and subscribes anew when its connection has broken, in that
    # order, and never hears of one that is stored in between.
    cluster.result(task)

    cluster.judge(
        executed(task.id, exactly=1),
        executed(after.id, exactly=1),
        outcome_unharmed({task.id: ("SUCCESS", "'released'"), after.id: ("SUCCESS", "'done'")}),
    )


@pytest.mark.promise("STALE-34")
@pytest.mark.requires("registry-table")
@pytest.mark.own_servers
def test_a_task_runs_meanwhile(cluster: Cluster) -> None:
    """The task ends as if nothing had been, and the worker consumes again."""
    cluster.worker("a")
    task = cluster.hold("a")

    outage = cluster.inject(restart(cluster.servers.broker))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.heal(outage)
    cluster.watch([task], cluster.timing.recovery_bound_s)
    task.release()
    cluster.await_end(task)
    after = cluster.publish("ok", queue="a")
    cluster.await_end(after)

    ended = {"status": "SUCCESS"}
    cluster.judge(
        live_tasks_untouched(),
        executed(task.id, exactly=1),
        executed(after.id, exactly=1),
        ends_kept({task.id: ended, after.id: ended}),
    )


@pytest.mark.promise("STALE-34")
@pytest.mark.requires("registry-table")
@pytest.mark.own_servers
def test_a_worker_dies_meanwhile(cluster: Cluster) -> None:
    """Nobody can be asked during the outage; when it is over, the dead worker's task is closed within the bound."""
    cluster.worker("b")
    victim = cluster.worker("a")
    task = cluster.hold("a")

    outage = cluster.inject(restart(cluster.servers.broker))
    cluster.inject(kill(victim.process))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.heal(outage)
    cluster.await_record(task, {"REVOKED"})

    cluster.judge(dead_tasks_closed(cluster.timing.recovery_bound_s), ends_kept({task.id: {"status": "REVOKED"}}))
