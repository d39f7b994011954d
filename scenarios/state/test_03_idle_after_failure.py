"""STATE-03: after a failure, whichever it is, the agent is idle wherever it is told of, and the error is told."""

import pytest

from harness import Cluster, agent_idle, ends_kept

LIMIT_S = 1.25


@pytest.mark.promise("STATE-03")
def test_after_an_exception(cluster: Cluster) -> None:
    """A run raises: FAILURE, and row, progress, memory and API know of no run any more."""
    api = cluster.api()
    cluster.worker("a")
    agent = cluster.agent("planner")
    task = agent.work("a", error="the plan does not work")

    task.release()
    cluster.await_end(task, "FAILURE")
    agent.await_idle()
    agent.remember("a")
    agent.ask(api)

    failed = {"status": "FAILURE", "error_type": "ValueError", "error_message": ("the plan does not work",)}
    cluster.judge(
        agent_idle(agent.name, task.id, error="the plan does not work", memory=True), ends_kept({task.id: failed})
    )


@pytest.mark.promise("STATE-03")
@pytest.mark.parametrize(
    ("option", "error"), [("soft_time_limit", "SoftTimeLimitExceeded"), ("time_limit", "time limit")]
)
def test_after_a_time_limit(cluster: Cluster, option: str, error: str) -> None:
    """A run takes longer than a limit: the soft one is raised in it, the hard one ends its process."""
    cluster.worker("a")
    agent = cluster.agent("planner")
    task = agent.work("a", options={option: LIMIT_S})

    cluster.await_record(task, {"FAILURE"}, within_s=LIMIT_S + cluster.timing.recovery_bound_s)
    agent.await_idle(cluster.timing.recovery_bound_s)
    agent.remember("a")

    failed = {"status": "FAILURE", "error_message": ("limit", f"{LIMIT_S:g}")}
    cluster.judge(agent_idle(agent.name, task.id, error=error, memory=True), ends_kept({task.id: failed}))


@pytest.mark.promise("STATE-03")
def test_after_a_revocation(cluster: Cluster) -> None:
    """A run is ended by whoever revokes its task: REVOKED."""
    cluster.worker("a")
    agent = cluster.agent("planner")
    task = agent.work("a")

    cluster.revoke(task, terminate=True)
    cluster.await_record(task, {"REVOKED"})
    agent.await_idle(cluster.timing.recovery_bound_s)
    agent.remember("a")

    cluster.judge(
        agent_idle(agent.name, task.id, error="terminated", memory=True), ends_kept({task.id: {"status": "REVOKED"}})
    )
