"""RESULT-16: what ends while the result backend, or Postgres, is away has its result, or its error, afterwards."""

import pytest

from harness import Cluster, Mode, Task, error_told, outcome_unharmed, results_given, sever

ONCE = {"CELERY_CONFORMANCE_RESULT_RETRIES": "1"}
"""Celery gives up its own attempts to store a result soon."""


def ended_while(cluster: Cluster, away: str, name: str) -> Task:
    """A task that ends while its worker is cut off, and whose end has been recorded."""
    worker = cluster.worker("a", behind_proxy=True, environment=ONCE)
    task = cluster.hold("a", task=name)
    assert worker.links is not None
    outage = cluster.inject(sever(getattr(worker.links, away), Mode.REFUSE))
    task.release()
    task.await_end()
    if away == "redis":
        cluster.await_record(task, {"SUCCESS", "FAILURE"})
    cluster.heal(outage)
    cluster.await_record(task, {"SUCCESS", "FAILURE"})
    return task


@pytest.mark.promise("RESULT-16")
@pytest.mark.parametrize("away", ["redis", "postgres"])
def test_a_result(cluster: Cluster, away: str) -> None:
    """The task returns during the outage; its result is served, and whoever waits with `.get()` has it, too."""
    api = cluster.api()

    task = ended_while(cluster, away, "hold")
    api.ask("result", task)
    api.command("result", task)
    cluster.result(task)

    cluster.judge(results_given({task.id: "released"}), outcome_unharmed({task.id: ("SUCCESS", "'released'")}))


@pytest.mark.promise("RESULT-16")
@pytest.mark.parametrize("away", ["redis", "postgres"])
def test_an_error(cluster: Cluster, away: str) -> None:
    """The task fails during the outage; it is its own error that is told afterwards, and not that of the outage."""
    api = cluster.api()

    task = ended_while(cluster, away, "hold_then_fail")
    api.ask("status", task)
    api.command("get", task)

    words = {"type": ["ValueError"], "message": ["fails after all"]}
    cluster.judge(error_told(task.id, code="exception", words=words, secrets=[]))
