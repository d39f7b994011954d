"""STATE-14: how many tasks succeeded and failed of late is told, by metrics and by the check command."""

import pytest

from harness import Cluster, rates_told


@pytest.mark.promise("STATE-14")
def test_rates_of_late(cluster: Cluster) -> None:
    """Three tasks succeed, one fails, and one is revoked before it begins, which counts for neither."""
    worker = cluster.worker("a", metrics=True)
    good = [cluster.publish("ok", queue="a") for _ in range(3)]
    bad = cluster.publish("fail", queue="a")
    expired = cluster.publish("ok", queue="a", options={"expires": -1})
    cluster.await_records([*good], {"SUCCESS"})
    cluster.await_record(bad, {"FAILURE"})
    cluster.await_record(expired, {"REVOKED"})

    cluster.scrape(worker, "when they have ended", at_least={"recent_successes": 3, "recent_failures": 1})
    cluster.run_command("check", "--status", "--json")

    cluster.judge(rates_told(succeeded=3, failed=1))
