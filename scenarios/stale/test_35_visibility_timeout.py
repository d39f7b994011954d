"""STALE-35: a healthy task that the broker delivers a second time is reported as what it is."""

import pytest

from harness import Cluster, duplicate_reported, executed, expire_visibility, live_tasks_untouched


@pytest.mark.promise("STALE-35")
@pytest.mark.redis_broker
def test_longer_than_the_visibility_timeout(cluster: Cluster) -> None:
    """A second worker is given a task that a first one still executes: a duplicate, and the setting is named."""
    cluster.worker("a", pool="solo")  # which takes no message while it executes one
    task = cluster.hold("a", task="hold_late")

    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    cluster.worker("b", queues=["a"])
    task.await_mark(count=2)
    cluster.await_record(task, lambda record: record.attempts == 2)
    task.release()
    task.await_end(count=2)
    cluster.await_record(task, {"SUCCESS"})
    cluster.audit(task)
    cluster.note_logs()

    cluster.judge(
        duplicate_reported(task.id, "visibility_timeout", log="worker-b"),
        executed(task.id, exactly=2),
        live_tasks_untouched(),
    )
