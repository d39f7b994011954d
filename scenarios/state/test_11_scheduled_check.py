"""STATE-11: beat asks for the check, too, and one node makes it."""

from dataclasses import replace

import pytest

from harness import Cluster, checks_paced

INTERVAL_S = 1.0
CHECKS = 4


@pytest.mark.promise("STATE-11")
def test_one_node_checks(cluster: Cluster) -> None:
    """Two workers with a beat each, which nobody should have: the check is made once in each interval all the same."""
    often = replace(cluster.timing, check_interval_s=INTERVAL_S)
    workers = [
        cluster.worker(name, queues=[name, "celery"], timing=often, metrics=True, beat={}) for name in ("a", "b")
    ]
    task = cluster.publish("ok", queue="a")
    cluster.await_end(task)

    def made(when: str) -> float:
        return sum(cluster.scrape(worker, when)["checks"] or 0 for worker in workers)

    before = made("at first")
    cluster.await_seen(f"{CHECKS} checks", lambda: made("meanwhile") >= before + CHECKS or None)
    made("in the end")

    cluster.judge(checks_paced(INTERVAL_S))
