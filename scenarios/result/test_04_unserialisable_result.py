"""RESULT-04: a result that nothing can store as a whole is no failure of the work that was done."""

import pytest

from harness import Cluster, ends_kept, executed, logged_once, outcome_unharmed, partial_kept


@pytest.mark.promise("RESULT-04")
def test_to_whoever_waits(cluster: Cluster) -> None:
    """A task has done its work, and returns numbers and words beside a lock; for whoever waits it has succeeded."""
    cluster.worker("a")

    task = cluster.publish("odd", queue="a")
    cluster.result(task)

    cluster.judge(executed(task.id, exactly=1), outcome_unharmed({task.id: ("SUCCESS", None)}))


@pytest.mark.promise("RESULT-04")
@pytest.mark.requires("api", "partial-results")
def test_good_and_bad_parts(cluster: Cluster) -> None:
    """A task returns numbers and words beside a lock, a socket and a generator."""
    api = cluster.api()
    worker = cluster.worker("a")
    task = cluster.publish("odd", queue="a")
    cluster.await_record(task, {"SUCCESS", "FAILURE"})

    api.ask("result", task)
    api.ask("status", task)
    cluster.result(task)
    cluster.note_logs()

    cluster.judge(
        outcome_unharmed({task.id: ("SUCCESS", None)}),
        ends_kept({task.id: {"status": "SUCCESS"}}),
        partial_kept(
            task.id,
            good={"answer": 42, "words": ["one", "two"]},
            bad={"lock": "lock", "socket": "socket", "generator": "generator"},
        ),
        logged_once("what is missing", "WARNING", [task.id, "lock", "generator"], worker.process.name, kind="unsaid"),
    )
