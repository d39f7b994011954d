"""STATE-04: when a worker is killed in the middle of a run, the sweep lets the agent go wherever it is told of."""

import pytest

from harness import Cluster, agent_idle, dead_tasks_closed, ends_kept, executed, hold_rows, kill


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


@pytest.mark.promise("STATE-04")
def test_killed_at_the_beginning(cluster: Cluster) -> None:
    """The row is held while a run begins, so the run is on disk and in Redis only when its worker is killed."""
    first = cluster.worker("a")
    cluster.worker("b")
    agent = cluster.agent("planner")
    earlier = agent.work("a")
    earlier.release()
    cluster.await_end(earlier)
    agent.await_idle()

    held = cluster.inject(hold_rows(cluster.database_url, agent.rows, "the agent's row"), await_landing=False)
    task = agent.work("a")
    cluster.await_landing(held)
    agent.await_row(lambda seen: task.id in seen["progress"])
    cluster.inject(kill(first.process))
    cluster.heal(held)
    cluster.await_record(task, {"REVOKED"})
    agent.await_idle()

    bound_s = cluster.timing.recovery_bound_s
    cluster.judge(
        dead_tasks_closed(bound_s),
        agent_idle(agent.name, task.id, within_s=bound_s, error="died while executing it"),
    )


@pytest.mark.promise("STATE-04")
def test_killed_in_its_own_clean_up(cluster: Cluster) -> None:
    """The row is held while a run ends: its worker is killed when the work is done, and nobody has been told."""
    first = cluster.worker("a")
    cluster.worker("b")
    agent = cluster.agent("planner")
    task = agent.work("a")

    held = cluster.inject(hold_rows(cluster.database_url, agent.rows, "the agent's row"), await_landing=False)
    task.release()
    task.await_end()
    cluster.await_landing(held)
    cluster.inject(kill(first.process))
    cluster.heal(held)
    cluster.await_record(task, {"SUCCESS"})
    agent.await_idle()

    cluster.judge(
        ends_kept({task.id: {"status": "SUCCESS"}}), agent_idle(agent.name, task.id), executed(task.id, exactly=1)
    )
