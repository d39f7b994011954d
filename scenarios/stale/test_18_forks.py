"""STALE-18: no process of a worker shares a connection to the database with another one."""

import pytest

from harness import Cluster, connections_apart, kill

CHILDREN = 3


@pytest.mark.promise("STALE-18")
def test_a_pool_of_children(cluster: Cluster) -> None:
    """Children are forked at the start, and one when another is lost: from a parent with connections of its own."""
    assert cluster.subject.sessions is not None
    factory = {"CELERY_CONFORMANCE_SESSIONS": cluster.subject.sessions}
    worker = cluster.worker("a", concurrency=CHILDREN, environment=factory)
    tasks, children = [], []
    for _ in range(CHILDREN):  # one after the other: who shares a socket and speaks at once may not come so far
        task = cluster.publish("ask_database", queue="a")
        tasks.append(task)
        children.append(task.await_mark().value["pid"])
    for task in tasks:
        cluster.await_record(task, {"STARTED"})
    cluster.note_sockets(worker)

    cluster.inject(kill(worker.process, pid=children[0]))
    late = cluster.publish("ask_database", queue="a")
    late.await_mark()
    cluster.await_record(late, {"STARTED"})
    cluster.note_sockets(worker)
    for task in (late, *tasks[1:]):
        task.release()
        cluster.await_end(task)

    cluster.judge(connections_apart(at_least=1 + CHILDREN))
