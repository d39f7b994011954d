"""OPS-06: each state is shown under one word, and what is no state is counted."""

import pytest

from harness import Cluster, Stored, lines_true, malformed_told

A_DAY_S = 86_400


@pytest.mark.promise("OPS-06")
def test_every_state(cluster: Cluster) -> None:
    """All six, one that a task makes up, and three that are none."""
    api = cluster.api()
    cluster.worker("a", concurrency=2)
    tasks = {
        "pending": [cluster.publish("ok", queue="nobody's")],
        "in_progress": [cluster.hold("a"), cluster.hold("a", task="report")],
        "completed": [],
        "failed": [],
        "cancelled": [],
    }
    cluster.worker("b")
    retrying = cluster.publish("retry_once", A_DAY_S, queue="b")
    cluster.await_record(retrying, {"RETRY"})
    tasks["in_progress"].append(retrying)
    for word, name, status, options in (
        ("completed", "ok", "SUCCESS", {}),
        ("failed", "fail", "FAILURE", {}),
        ("cancelled", "ok", "REVOKED", {"expires": -1}),
    ):
        task = cluster.publish(name, queue="b", options=options)
        cluster.await_record(task, {status})
        tasks[word].append(task)
    nonsense = [Stored("no state"), Stored(""), Stored(17)]
    cluster.store([Stored("PROGRESS", {"current": 1}), *nonsense])

    for word in tasks:
        api.ask_lines(status=[word])
    api.await_sitrep(lambda told: told["remarks"]["unread"] == 0)
    cluster.note_logs()
    for task in tasks["in_progress"][:2]:
        task.release()
        cluster.await_end(task)

    expected = {task.id: {"status": word} for word, those in tasks.items() for task in those}
    cluster.judge(lines_true(expected), malformed_told(3, logged=[entry.task_id for entry in nonsense]))
