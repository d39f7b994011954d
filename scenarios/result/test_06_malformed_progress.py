"""RESULT-06: whatever a task says of its progress, what is shown makes sense, and the task goes on."""

from typing import Any

import pytest

from harness import Cluster, ends_kept, progress_sane

SANE: list[Any] = [{"current": 1, "total": 4, "message": "one of four"}]
MALFORMED: list[Any] = [
    "half way",
    {"current": "3", "total": "12"},
    {"current": "three"},
    {"current": None, "total": [1]},
    {"current": -1, "total": 4},
    {"current": 9, "total": 4},
    {"current": 1, "total": 0},
    {"percent": 150},
    {"current": float("nan"), "total": float("inf")},
    {"current": 1, "total": 2, "message": "x" * 200_000, "at": "1970-01-01T00:00:00Z"},
]


@pytest.mark.promise("RESULT-06")
def test_whatever_is_said(cluster: Cluster) -> None:
    """Eleven tasks say eleven things, stay for a while, are looked at, and return."""
    api = cluster.api()
    worker = cluster.worker("a", pool="threads", concurrency=len(SANE) + len(MALFORMED))
    sane, malformed = ([cluster.publish("report", meta, queue="a") for meta in metas] for metas in (SANE, MALFORMED))
    tasks = sane + malformed
    for task in tasks:
        task.await_mark()
    cluster.await_log(worker.process, "WARNING", malformed[-1].id)
    for task in tasks:
        api.ask("status", task)
        task.release()
    for task in tasks:
        cluster.await_end(task)
    cluster.note_logs()

    cluster.judge(
        progress_sane([task.id for task in tasks], malformed=[task.id for task in malformed], log=worker.process.name),
        ends_kept({task.id: {"status": "SUCCESS"} for task in tasks}),
    )
