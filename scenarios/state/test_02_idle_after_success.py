"""STATE-02: after a success the agent is idle wherever it is told of."""

import pytest

from harness import Cluster, agent_idle, ends_kept


@pytest.mark.promise("STATE-02")
def test_idle_after_success(cluster: Cluster) -> None:
    """A run returns: its record says SUCCESS, and row, progress, memory and API know of no run any more."""
    api = cluster.api()
    cluster.worker("a")
    agent = cluster.agent("planner")
    task = agent.work("a")

    task.release()
    cluster.await_end(task)
    agent.await_idle()
    agent.remember("a")
    agent.ask(api)

    cluster.judge(agent_idle(agent.name, task.id, memory=True), ends_kept({task.id: {"status": "SUCCESS"}}))
