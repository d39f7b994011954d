"""OPS-02: the success rate is the share of those that finished, and nothing before the first has."""

import pytest

from harness import Cluster, figures_true


@pytest.mark.promise("OPS-02")
def test_before_and_after_the_first(cluster: Cluster) -> None:
    """Nothing has finished while a task is executed; then three succeed, one fails, and one is revoked."""
    api = cluster.api()
    cluster.worker("a")
    held = cluster.hold("a")
    api.ask_sitrep()
    held.release()
    cluster.await_end(held)
    for _ in range(2):
        cluster.await_end(cluster.publish("ok", queue="a"))
    cluster.await_end(cluster.publish("fail", queue="a"), "FAILURE")
    cluster.await_record(cluster.publish("ok", queue="a", options={"expires": -1}), {"REVOKED"})
    api.await_sitrep(lambda told: told["figures"]["failed"] == 1)

    cluster.judge(figures_true(of=0, success_rate=None), figures_true(success_rate=3 / 4, completed=3, failed=1))
