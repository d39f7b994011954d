"""RESULT-03: who asks for a result and gives a limit waits for so long, and is told when it is over."""

import pytest

from harness import Cluster, results_given, wait_bounded


@pytest.mark.promise("RESULT-03")
def test_the_limit_runs_out(cluster: Cluster) -> None:
    """A task is held; a command waits for its result, shortly and longer; then the task returns, and it is given."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.hold("a")

    api.command("result-within", task, timeout_s=0)
    api.command("result-within", task, timeout_s=3)
    task.release()
    cluster.await_end(task)
    api.command("result", task)

    cluster.judge(
        wait_bounded(task.id, "result-within", exit_code=124, words=["STARTED"]),
        results_given({task.id: "released"}, surfaces=["cli"]),
    )
