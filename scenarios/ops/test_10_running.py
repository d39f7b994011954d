"""OPS-10: what is executed is shown, with its arguments, without their secrets."""

import pytest

from harness import Cluster, lines_true

SECRET = "hunter2hunter2"  # noqa: S105 - of this scenario


@pytest.mark.promise("OPS-10")
def test_known_and_unknown_to_the_registry(cluster: Cluster) -> None:
    """Two tasks are executed, the record of one is removed; another was executed twice, as it asked for a retry."""
    api = cluster.api()
    workers = [cluster.worker("a"), cluster.worker("b"), cluster.worker("c")]
    told = {"password": SECRET, "url": f"redis://:{SECRET}@host/0"}
    held = [cluster.publish("hold", value=told, queue=queue) for queue in ("a", "b")]
    for task in held:
        task.await_mark()
        cluster.await_record(task, {"STARTED"})
    retried = cluster.publish("retry_once", queue="c", countdown=0.0)
    ended = cluster.publish("ok", f"token={SECRET}", queue="c")
    cluster.await_records([retried, ended], {"SUCCESS"})
    cluster.query(f"DELETE FROM {cluster.subject.tables['registry']} WHERE task_id = %s", held[1].id)  # noqa: S608 - the subject's own table

    api.await_sitrep(lambda told: told["figures"]["active"] == 2)
    for task in held:
        task.release()
        task.await_end()

    masked = {"value": {"password": "***", "url": "redis://:***@host/0"}}
    expected = {
        task.id: {"status": "in_progress", "worker": worker.node, "started_at": ..., "kwargs": masked}
        for task, worker in zip(held, workers, strict=False)
    }
    finished = {"status": "completed", "kwargs": {"countdown": 0.0}, "retries": 1}
    expected |= {retried.id: finished, ended.id: {"args": ["token=***"]}}
    cluster.judge(lines_true(expected, leaks=[SECRET]))
