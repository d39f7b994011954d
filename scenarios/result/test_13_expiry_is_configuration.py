"""RESULT-13: how long results are kept is configuration, of the environment or of a file."""

import pytest

from harness import Cluster, Expiry, answers_apart, expiry_effective, forgotten_by_backend, outcome_unharmed

RESULT_S = 3.0
KNOWN_S = 5.0


@pytest.mark.promise("RESULT-13")
@pytest.mark.requires("result-ttl")
def test_in_the_result_backend(cluster: Cluster) -> None:
    """A result is to be kept for three seconds, and the result backend keeps it for no longer."""
    cluster.worker("a", expiry=Expiry(RESULT_S, KNOWN_S))

    task = cluster.publish("ok", queue="a")
    cluster.result(task)
    cluster.note_stored(task)

    cluster.judge(outcome_unharmed({task.id: ("SUCCESS", "'done'")}), forgotten_by_backend(task.id, within_s=RESULT_S))


@pytest.mark.promise("RESULT-13")
@pytest.mark.requires("api", "result-expiry")
@pytest.mark.parametrize("where", ["environment", "file"])
def test_effective(cluster: Cluster, where: str) -> None:
    """A result expires after three seconds, and after five nothing is known of its task."""
    api = cluster.api()
    cluster.worker("a", expiry=Expiry(RESULT_S, KNOWN_S), expiry_in_file=where == "file")
    task = cluster.publish("ok", queue="a")
    cluster.await_end(task)
    cluster.note_stored(task)
    api.ask("status", task)

    api.await_answer("result", task, lambda status: status == 404, within_s=KNOWN_S + 10)

    cluster.judge(expiry_effective(task.id, result_s=RESULT_S), answers_apart({task.id: "unknown"}))
