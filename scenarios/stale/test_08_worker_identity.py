"""STALE-08: the record names the worker as `inspect` does."""

import pytest

from harness import Cluster, logged_once, worker_identified


@pytest.mark.promise("STALE-08")
@pytest.mark.parametrize(
    ("pool", "name"),
    [
        ("prefork", "celery@3f1c9a7d2b4e"),
        ("threads", "w.1-x_y@node-7.example.internal"),
        ("solo", "reports"),
        ("prefork", "orders@%h"),
    ],
)
def test_the_node_name(cluster: Cluster, pool: str, name: str) -> None:
    """Whatever pool and name, even one that Celery completes, `worker_id` is the node name that inspect reports."""
    worker = cluster.worker(name, pool=pool, queues=["a"])
    cluster.inspect()
    task = cluster.hold("a")
    task.release()
    cluster.await_end(task)

    cluster.judge(worker_identified({task.id: worker.node.replace("%h", worker.process.host_name)}))


@pytest.mark.promise("STALE-08")
@pytest.mark.requires("eager")
def test_nobody_can_know(cluster: Cluster) -> None:
    """Tasks that run eagerly outside any worker have no worker; one WARNING says so, however many there are."""
    tasks = [cluster.run_eagerly("ok", number) for number in range(3)]
    for task in tasks:
        cluster.await_record(task, {"SUCCESS"})
    cluster.note_logs()

    cluster.judge(
        worker_identified({task.id: None for task in tasks}),
        logged_once("an unknown worker", "WARNING", ["eagerly", "worker_id"], "client", kind="unknown-worker-silent"),
    )
