"""STATE-13: each transition of a run is one line in a log, for a program to read."""

import pytest

from harness import Cluster, transitions_logged


@pytest.mark.promise("STATE-13")
def test_each_transition_is_a_line(cluster: Cluster) -> None:
    """A task is published, runs an agent, and returns."""
    worker = cluster.worker("a")
    agent = cluster.agent("planner")
    task = agent.work("a")

    task.release()
    cluster.await_end(task)
    agent.await_idle()
    cluster.audit(task)
    cluster.await_log(worker.process, task.id, "SUCCESS")

    cluster.note_logs(task.id)
    cluster.judge(transitions_logged(agent.name, task.id))
