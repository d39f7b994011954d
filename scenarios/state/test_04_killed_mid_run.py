"""STATE-04: when a worker is killed in the middle of a run, the sweep lets the agent go wherever it is told of."""

import pytest

from harness import Cluster, agent_idle, dead_tasks_closed, kill


@pytest.mark.promise("STATE-04")
def test_killed_mid_run(cluster: Cluster) -> None:
    """A worker is killed while its task runs an agent; another worker sweeps."""
    api = cluster.api()
    first = cluster.worker("a")
    cluster.worker("b")
    agent = cluster.agent("planner")
    task = agent.work("a")

    cluster.inject(kill(first.process))
    cluster.await_record(task, {"REVOKED"})
    agent.await_idle()
    agent.remember("b")
    agent.ask(api)

    bound_s = cluster.timing.recovery_bound_s
    cluster.judge(
        dead_tasks_closed(bound_s),
        agent_idle(agent.name, task.id, within_s=bound_s, error="died while executing it", memory=True),
    )


@pytest.mark.promise("STATE-04")
def test_left_to_redelivery(cluster: Cluster) -> None:
    """The message of the killed worker's task comes back later: until then nobody runs the agent, and it is idle."""
    first = cluster.worker("a")
    cluster.worker("b")
    agent = cluster.agent("planner")
    task = agent.work("a", task="work_late_as")

    cluster.inject(kill(first.process))
    cluster.await_record(task, {"RETRY"})
    agent.await_idle()

    bound_s = cluster.timing.recovery_bound_s
    cluster.judge(agent_idle(agent.name, task.id, within_s=bound_s, error="died while executing it"))
