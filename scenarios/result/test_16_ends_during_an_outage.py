"""RESULT-16: what ends while the result backend, or Postgres, is away has its result, or its error, afterwards."""

import pytest

from harness import (
    Cluster,
    Mode,
    Task,
    Worker,
    end_kept_back,
    error_told,
    executed,
    outcome_unharmed,
    results_given,
    sever,
)

OWN_ERROR = "ValueError('this task fails after all')"
OUTAGE_S = 25.0
"""Celery goes on for about 20 seconds unless it is told otherwise: twenty times, a second apart."""
ONCE = {"CELERY_CONFORMANCE_RESULT_RETRIES": "1"}
"""Celery gives up its own attempts to store a result soon."""


def ended_while(cluster: Cluster, away: str, name: str) -> Task:
    """A task that ends while its worker is cut off, and whose end has been recorded."""
    worker = cluster.worker("a", behind_proxy=True, environment=ONCE)
    task = cluster.hold("a", task=name)
    end_while(cluster, worker, task, away)
    return task


def end_while(cluster: Cluster, worker: Worker, task: Task, away: str) -> None:
    """Let a task end that is held, while its worker is cut off."""
    assert worker.links is not None
    outage = cluster.inject(sever(getattr(worker.links, away), Mode.REFUSE))
    task.release()
    task.await_end()
    if away == "redis":
        cluster.await_record(task, {"SUCCESS", "FAILURE"})
    cluster.heal(outage)
    cluster.await_record(task, {"SUCCESS", "FAILURE"})


@pytest.mark.promise("RESULT-16")
@pytest.mark.parametrize(
    ("name", "state", "value"),
    [("hold", "SUCCESS", "'released'"), ("hold_then_fail", "FAILURE", OWN_ERROR)],
    ids=["returns", "fails"],
)
def test_to_whoever_waits(cluster: Cluster, name: str, state: str, value: str) -> None:
    """A task ends while every store is away, for longer than Celery goes on trying; `.get()` tells its own end."""
    worker = cluster.worker("a", behind_proxy=True)
    task = cluster.hold("a", task=name)
    assert worker.links is not None

    outages = [cluster.inject(sever(link, Mode.REFUSE)) for link in (worker.links.redis, worker.links.postgres)]
    task.release()
    task.await_end()
    cluster.watch([], OUTAGE_S)
    cluster.note_state(task)
    for outage in outages:
        cluster.heal(outage)
    cluster.result(task)

    cluster.judge(executed(task.id, exactly=1), outcome_unharmed({task.id: (state, value)}), end_kept_back(task.id))


@pytest.mark.promise("RESULT-16")
@pytest.mark.requires("api", "result-commands")
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
@pytest.mark.requires("api", "result-commands")
@pytest.mark.parametrize("away", ["redis", "postgres"])
def test_an_error(cluster: Cluster, away: str) -> None:
    """The task fails during the outage; its own error is told afterwards, not that of the outage, to `.get()` too."""
    api = cluster.api()

    task = ended_while(cluster, away, "hold_then_fail")
    api.ask("status", task)
    api.command("get", task)
    cluster.result(task)

    words = {"type": ["ValueError"], "message": ["fails after all"]}
    cluster.judge(
        error_told(task.id, code="exception", words=words, secrets=[]),
        outcome_unharmed({task.id: ("FAILURE", OWN_ERROR)}),
    )


@pytest.mark.promise("RESULT-16")
@pytest.mark.requires("api", "result-commands")
def test_a_chord(cluster: Cluster) -> None:
    """The last member of a chord returns while Redis is away; afterwards the body of the chord is executed."""
    worker = cluster.worker("a", concurrency=2, behind_proxy=True, environment=ONCE)
    held, other, body = cluster.compose("chord over a hold", queue="a")
    held.await_mark()
    cluster.await_end(other)

    end_while(cluster, worker, held, "redis")
    for task in (held, body):
        cluster.result(task)

    cluster.judge(
        executed(body.id, exactly=1),
        outcome_unharmed({held.id: ("SUCCESS", "'released'"), body.id: ("SUCCESS", None)}),
    )
