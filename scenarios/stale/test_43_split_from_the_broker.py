"""STALE-43: a worker that is split from the broker only is left alone."""

import pytest

from harness import Cluster, Dropped, live_tasks_untouched, split, sweep_says


@pytest.mark.containers
@pytest.mark.requires("sweep-command")
@pytest.mark.promise("STALE-43")
@pytest.mark.parametrize("how", list(Dropped))
def test_no_packet_to_the_broker(cluster: Cluster, how: Dropped) -> None:
    """A worker answers nobody through the broker for longer than its lease, which it renews."""
    cluster.worker("b")
    running = cluster.worker("a")
    task = cluster.hold("a")

    fault = cluster.inject(split(running.process, cluster.servers.broker, how), await_landing=False)
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.await_landing(fault)
    cluster.run_command("sweep")
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched(), sweep_says({task.id: ("alive", "renewed")}))
