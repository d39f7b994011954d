"""STALE-14: six statuses, and no seventh."""

import pytest

from harness import Cluster, statuses_of_six


@pytest.mark.promise("STALE-14")
def test_every_path_speaks_one_vocabulary(cluster: Cluster) -> None:
    """Tasks succeed, fail, retry, report progress and expire; a foreign status is refused by the database."""
    cluster.worker("a")
    plans = {"ok": "SUCCESS", "fail": "FAILURE", "retry_once": "SUCCESS", "progress": "SUCCESS"}
    for name, end in plans.items():
        cluster.await_record(cluster.publish(name, queue="a"), {end})
    cluster.await_record(cluster.publish("ok", queue="a", options={"expires": -1}), {"REVOKED"})

    cluster.plant(cluster.unpublished("hold"), status="PROGRESS", name="conformance.hold")

    cluster.judge(statuses_of_six("PROGRESS"))
