"""RESULT-07: who waits for a task and gives a limit is told when it is over, and what to do then."""

import pytest

from harness import Cluster, status_true, wait_bounded


@pytest.mark.promise("RESULT-07")
def test_the_limit_runs_out(cluster: Cluster) -> None:
    """A task is held; a command waits for it, shortly and longer; then the task returns, and its end is shown."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.hold("a")

    api.command("wait-within", task, timeout_s=0)
    api.command("wait-within", task, timeout_s=3)
    task.release()
    cluster.await_end(task)
    api.command("wait", task)

    cluster.judge(
        wait_bounded(task.id, "wait-within", exit_code=124, words=["STARTED", "--timeout"]),
        status_true([task.id]),
    )
