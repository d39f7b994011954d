"""OPS-16: the view tells Prometheus how long its sources and its answers take, and which sources fail."""

from dataclasses import replace

import pytest

from harness import Cluster, Mode, sever, view_measured


@pytest.mark.promise("OPS-16")
def test_a_source_fails(cluster: Cluster) -> None:
    """First all is well, then Postgres is away."""
    cluster.timing = replace(cluster.timing, ping_timeout_s=1.0)  # none of the other sources may come late
    api = cluster.api(behind_proxy=True)
    cluster.worker("a")
    cluster.await_end(cluster.publish("ok", queue="a"))
    api.ask_sitrep()

    outage = cluster.inject(sever(api.postgres, Mode.HOLD), await_landing=False)
    api.await_sitrep(lambda told: told["remarks"]["registry_answered"] is not True)
    cluster.heal(outage)
    api.scrape("after")

    cluster.judge(view_measured(failed="registry"))
