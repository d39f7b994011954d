"""STATE-16: what a run leaves to clean up does not make the agent idle under the run that came after it."""

import pytest

from harness import Cluster, Mode, agent_belongs, agent_idle, kill, sever


@pytest.mark.promise("STATE-16")
def test_an_end_that_comes_late(cluster: Cluster) -> None:
    """Run A ends, and what it says of that is held on its way; run B begins elsewhere; then A's words arrive."""
    late = cluster.worker("a", behind_proxy=True)
    cluster.worker("b")
    agent = cluster.agent("planner")
    first = agent.work("a")

    held = cluster.inject(sever(late.postgres, Mode.HOLD), await_landing=False)
    first.release()
    first.await_end()
    cluster.await_landing(held)
    second = agent.work("b")
    agent.await_row(lambda seen: seen["row"]["current_task_id"] == second.id)
    cluster.heal(held)
    cluster.await_record(first, {"SUCCESS"})
    agent.await_row(lambda seen: seen["row"]["current_task_id"] == second.id)
    second.release()
    cluster.await_end(second)
    agent.await_idle()

    cluster.judge(agent_belongs(agent.name, second.id, after=first.id), agent_idle(agent.name, second.id))


@pytest.mark.promise("STATE-16")
def test_a_sweep_that_comes_late(cluster: Cluster) -> None:
    """Run A dies with its worker; run B begins before a sweep closes A's record, which then leaves B alone."""
    first_worker = cluster.worker("a")
    cluster.worker("b")
    agent = cluster.agent("planner")
    first = agent.work("a")

    cluster.inject(kill(first_worker.process))
    second = agent.work("b")
    cluster.await_record(first, {"REVOKED"})
    agent.await_row(lambda seen: first.id not in seen["progress"])
    cluster.watch([second], 2 * cluster.timing.sweep_interval_s)
    agent.await_row(lambda seen: seen["row"]["current_task_id"] == second.id)
    second.release()
    cluster.await_end(second)
    agent.await_idle()

    cluster.judge(agent_belongs(agent.name, second.id, after=first.id), agent_idle(agent.name, second.id))
