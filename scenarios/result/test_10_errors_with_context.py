"""RESULT-10: a failure is told with what helps to understand it, and without secrets."""

import pytest

from harness import Cluster, error_told

MESSAGE = "cannot log in as joe with password=hunter2 at postgres://joe:s3cret@db/app"


@pytest.mark.promise("RESULT-10")
def test_all_that_helps(cluster: Cluster) -> None:
    """A task is given a token, and fails with a message that has a password in it."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.publish("fail", message=MESSAGE, queue="a")
    cluster.await_record(task, {"FAILURE"})

    api.ask("status", task)
    api.ask("result", task)
    api.command("get", task)
    api.command("result", task)

    cluster.judge(
        error_told(
            task.id,
            code="exception",
            words={
                "category": ["task"],
                "type": ["ValueError"],
                "message": ["cannot log in as joe"],
                "traceback": ["Traceback", "raise ValueError"],
                "task_name": ["conformance.fail"],
                "kwargs": ["message"],
                "attempts": ["1"],
            },
            secrets=["hunter2", "s3cret"],
        )
    )
