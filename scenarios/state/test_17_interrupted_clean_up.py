"""STATE-17: a clean-up that is killed between two steps is completed by the next; done again, it changes nothing."""

import pytest

from harness import Agent, Cluster, Task, agent_idle, closed_once, hide_hash, hold_rows, kill


def sweep_twice(cluster: Cluster, agent: Agent, task: Task) -> None:
    """When all is done, two more sweeps are made by hand."""
    cluster.await_record(task, {"REVOKED"})
    agent.await_idle()
    for _ in range(2):
        cluster.run_command("sweep")
        agent.note()
    cluster.audit(task)


@pytest.mark.promise("STATE-17")
@pytest.mark.requires("sweep-command", "audit")
def test_killed_before_the_end_is_committed(cluster: Cluster) -> None:
    """A worker dies with its run; who cleans up after it waits for the agent's row, dies, and a third one sweeps."""
    first, cleaner = cluster.worker("a"), cluster.worker("b")
    agent = cluster.agent("planner")
    task = agent.work("a")

    held = cluster.inject(hold_rows(cluster.database_url, agent.rows, "the agent's row"), await_landing=False)
    cluster.inject(kill(first.process))
    cluster.await_landing(held)
    cluster.inject(kill(cleaner.process))
    cluster.heal(held)
    cluster.worker("c")
    sweep_twice(cluster, agent, task)

    cluster.judge(agent_idle(agent.name, task.id, error="died while executing it"), closed_once([task.id]))


@pytest.mark.promise("STATE-17")
@pytest.mark.requires("sweep-command", "audit")
def test_killed_before_progress_is_dropped(cluster: Cluster) -> None:
    """The same, and who cleans up has closed record and row when it dies, but could not yet drop the progress."""
    first, cleaner = cluster.worker("a"), cluster.worker("b")
    agent = cluster.agent("planner")
    task = agent.work("a")

    hidden = hide_hash(cluster.servers.redis, cluster.redis_database, agent.shape.progress)
    cluster.inject(hidden, await_landing=False)
    cluster.inject(kill(first.process))
    agent.await_row(lambda seen: seen["row"] and not seen["row"]["is_running"])
    cluster.await_landing(hidden)
    cluster.inject(kill(cleaner.process))
    cluster.heal(hidden)
    cluster.worker("c")
    sweep_twice(cluster, agent, task)

    cluster.judge(agent_idle(agent.name, task.id, error="died while executing it"), closed_once([task.id]))
