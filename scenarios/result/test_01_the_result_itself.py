"""RESULT-01: the result endpoint returns what the task returned, and the status tells the truth about the execution."""

from typing import Any

import pytest

from harness import Cluster, outcome_unharmed, results_given, status_true

LONG = [f"line {number} of a result that is longer than any excerpt of it" for number in range(500)]


VALUES = pytest.mark.parametrize(
    "value",
    [None, 0, "", [1, 2.5, None, "three"], {"result": 1, "status": "PENDING", "task_id": "x"}, LONG],
    ids=["nothing", "zero", "empty", "list", "looks like a wrapper", "long"],
)


@pytest.mark.promise("RESULT-01")
@VALUES
def test_to_whoever_waits(cluster: Cluster, value: Any) -> None:
    """A task returns it; whoever waits with `.get()` has it, as it is."""
    cluster.worker("a")

    task = cluster.publish("ok", value, queue="a")
    cluster.result(task)

    cluster.judge(outcome_unharmed({task.id: ("SUCCESS", cluster.described(value))}))


@pytest.mark.promise("RESULT-01")
@pytest.mark.requires("api", "result-commands")
@VALUES
def test_whatever_it_is(cluster: Cluster, value: Any) -> None:
    """A task returns it; the API and the command line give it, as it is."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.publish("ok", value, queue="a")
    cluster.await_end(task)

    api.ask("result", task)
    api.command("result", task)

    cluster.judge(results_given({task.id: value}))


@pytest.mark.promise("RESULT-01")
@pytest.mark.requires("api", "result-commands")
def test_when_and_where(cluster: Cluster) -> None:
    """One task returns, one fails, one is retried; each is looked at later than it ended."""
    api = cluster.api()
    cluster.worker("a")
    held = cluster.hold("a")
    held.release()
    failing = cluster.publish("fail", queue="a")
    retried = cluster.publish("retry_once", queue="a")
    cluster.await_end(held)
    cluster.await_record(failing, {"FAILURE"})
    cluster.await_record(retried, {"SUCCESS"})
    cluster.watch([held], for_s=2.0)  # a time that is taken when somebody asks is wrong by then

    for task in (held, failing, retried):
        api.ask("status", task)
        api.command("get", task)

    cluster.judge(status_true([held.id, failing.id, retried.id]))
