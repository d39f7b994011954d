"""OPS-03: where no worker answers, none is said to execute anything."""

import pytest

from harness import Cluster, absence_told, figures_true, kill


@pytest.mark.promise("OPS-03")
def test_the_only_worker_is_killed(cluster: Cluster) -> None:
    """While its lease still holds, and its task is STARTED as far as the registry knows."""
    api = cluster.api()
    worker = cluster.worker("a")
    cluster.hold("a")

    cluster.inject(kill(worker.process))
    api.await_sitrep(lambda told: told["remarks"]["workers_answered"])

    cluster.judge(
        absence_told("workers", within_s=cluster.subject.limits["sitrep_s"]),
        figures_true(active=0, pending=0, total=0),
    )
