"""STALE-36: a publication that fails leaves no record that waits for ever."""

import pytest

from harness import ClientFailed, Cluster, Task, ends_kept, executed, refuse_messages

CIRCLE: list[object] = []
CIRCLE.append(CIRCLE)


def publish_in_vain(cluster: Cluster, task: str, *args: object) -> Task:
    """Publish what is refused, and wait for what the record makes of it."""
    handle = cluster.unpublished(task)
    with pytest.raises(ClientFailed):
        cluster.publish(task, *args, queue="a", handle=handle)
    cluster.await_record(handle, {"FAILURE"})
    return handle


@pytest.mark.promise("STALE-36")
def test_refused_by_the_serializer(cluster: Cluster) -> None:
    """JSON takes no circle: the publisher is told so, and the record says that it was not published, and why."""
    cluster.publish("ok", queue="a")
    task = publish_in_vain(cluster, "take", CIRCLE)

    cluster.judge(ends_kept({task.id: {"status": "FAILURE", "error_message": ("not published", "ircular")}}))


@pytest.mark.promise("STALE-36")
@pytest.mark.redis_broker
def test_refused_by_the_broker(cluster: Cluster) -> None:
    """The broker takes no message: the record says so; the same task, published again, runs."""
    cluster.publish("ok", queue="elsewhere")
    fault = cluster.inject(refuse_messages(cluster.servers.redis, cluster.redis_database, "a"), await_landing=False)
    given_up = publish_in_vain(cluster, "ok")
    again = publish_in_vain(cluster, "ok")
    cluster.heal(fault)
    cluster.publish("ok", queue="a", handle=again)
    cluster.worker("a")
    cluster.await_end(again)

    cluster.judge(
        ends_kept(
            {
                given_up.id: {"status": "FAILURE", "error_message": ("not published", "WRONGTYPE")},
                again.id: {"status": "SUCCESS", "result": "done"},
            }
        ),
        executed(given_up.id, exactly=0),
        executed(again.id, exactly=1),
    )
