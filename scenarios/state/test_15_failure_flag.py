"""STATE-15: a failing run leaves nothing behind by which the next one of its process would fail."""

import pytest

from harness import Cluster, agent_idle, ends_kept


@pytest.mark.promise("STATE-15")
def test_good_run_after_a_failing_one(cluster: Cluster) -> None:
    """Two runs of one agent by the same task in the same process: the first raises, the second returns."""
    cluster.worker("a")
    agent = cluster.agent("planner")
    bad = agent.work("a", error="the plan does not work")
    bad.release()
    cluster.await_end(bad, "FAILURE")

    good = agent.work("a")
    good.release()
    cluster.await_end(good)
    agent.await_idle()
    cluster.record(bad)

    cluster.judge(
        ends_kept({bad.id: {"status": "FAILURE"}, good.id: {"status": "SUCCESS"}}), agent_idle(agent.name, good.id)
    )
