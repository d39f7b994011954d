"""STALE-44: a worker that is split from the database only is left alone."""

import pytest

from harness import Cluster, Dropped, live_tasks_untouched, split, sweep_says


@pytest.mark.containers
@pytest.mark.requires("sweep-command")
@pytest.mark.promise("STALE-44")
@pytest.mark.parametrize("how", list(Dropped))
def test_no_packet_to_the_database(cluster: Cluster, how: Dropped) -> None:
    """A worker's lease runs out, and it still answers through the broker."""
    cluster.worker("b")
    running = cluster.worker("a")
    task = cluster.hold("a")

    fault = cluster.inject(split(running.process, cluster.servers.postgres, how))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.run_command("sweep")
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched(), sweep_says({task.id: ("alive", "answers")}))
