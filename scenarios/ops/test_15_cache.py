"""OPS-15: however many ask, there is one gathering in its time, and each answer tells how old it is."""

from dataclasses import replace

import pytest

from harness import Cluster, gathered_once

TTL_S = 3.0
CALLS = 30


@pytest.mark.promise("OPS-15")
def test_many_calls(cluster: Cluster) -> None:
    """Sixty calls, ten at a time, and thirty one after the other."""
    cluster.timing = replace(cluster.timing, sitrep_ttl_s=TTL_S)
    api = cluster.api()
    cluster.worker("a")
    cluster.await_end(cluster.publish("ok", queue="a"))
    api.scrape("before")
    api.ask_sitreps(2 * CALLS, at_once=10)
    for _ in range(CALLS):
        api.ask_sitrep()
    api.scrape("after")

    cluster.judge(gathered_once(ttl_s=TTL_S, gathers_in_s=cluster.subject.limits["sitrep_s"]))
