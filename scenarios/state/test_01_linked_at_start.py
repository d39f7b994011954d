"""STATE-01: when a run starts, its task's record and the agent name each other, and it has progress."""

import pytest

from harness import Agent, Cluster, Task, agent_linked


def await_link(cluster: Cluster, agent: Agent, task: Task) -> None:
    """Look until the agent's row, its progress, and its task's record are there."""
    agent.await_row(lambda seen: seen["row"] and task.id in seen["progress"])
    cluster.await_record(task, lambda record: record.agent is not None)


@pytest.mark.promise("STATE-01")
def test_linked_at_start(cluster: Cluster) -> None:
    """A task runs an agent and stays there, before it has said anything of its progress."""
    api = cluster.api()
    cluster.worker("a")
    agent = cluster.agent("planner")

    task = agent.work("a")
    await_link(cluster, agent, task)
    agent.ask(api)
    task.release()
    task.await_end()

    cluster.judge(agent_linked(agent.name, task.id))


@pytest.mark.promise("STATE-01")
def test_two_agents_at_once(cluster: Cluster) -> None:
    """Two tasks run an agent each on one worker: each agent is linked to its own task."""
    cluster.worker("a", concurrency=2)
    agents = [cluster.agent("planner"), cluster.agent("critic")]

    tasks = [agent.work("a") for agent in agents]
    for agent, task in zip(agents, tasks, strict=True):
        await_link(cluster, agent, task)
    for task in tasks:
        task.release()
        task.await_end()

    cluster.judge(*(agent_linked(agent.name, task.id) for agent, task in zip(agents, tasks, strict=True)))
