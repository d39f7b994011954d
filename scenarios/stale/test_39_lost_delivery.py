"""STALE-39: a task whose message is nowhere does not wait in silence; one whose message is somewhere is left alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import (
    Cluster,
    Mode,
    NeverCame,
    Task,
    ends_kept,
    executed,
    kill,
    outcome_unharmed,
    sever,
    unchanged_between,
    went_through,
)

LOST = {"status": "FAILURE", "reason": "lost", "error_message": ("no queue", "no worker")}
SUCCEEDED = {"status": "SUCCESS", "result": "done"}


def lose(cluster: Cluster) -> Task:
    """The broker gives a message away, its reply is lost, and the connection is reset."""
    worker = cluster.worker("a", behind_proxy=True)
    cluster.await_end(cluster.publish("ok", queue="a"))
    silence = cluster.inject(sever(worker.broker, Mode.SWALLOW), await_landing=False)
    task = cluster.publish("ok", queue="a")
    cluster.await_landing(silence)
    cluster.heal(cluster.inject(sever(worker.broker, Mode.RESET)))
    return task


@pytest.mark.promise("STALE-39")
@pytest.mark.redis_broker
def test_the_brokers_reply_is_lost(cluster: Cluster) -> None:
    """FAILURE within the bound; whoever waits is told; published again, the task runs."""
    task = lose(cluster)
    cluster.await_record(task, {"FAILURE"}, within_s=cluster.timing.recovery_bound_s)
    cluster.result(task)
    cluster.publish("ok", queue="a", handle=task)
    cluster.await_end(task)
    cluster.audit(task)

    cluster.judge(
        executed(task.id, exactly=1),
        went_through(task.id, "PENDING", "FAILURE", "PENDING", "STARTED", "SUCCESS"),
        outcome_unharmed({task.id: ("FAILURE", None)}),
        ends_kept({task.id: SUCCEEDED}),
    )


@pytest.mark.promise("STALE-39")
@pytest.mark.redis_broker
def test_the_record_says_lost(cluster: Cluster) -> None:
    """The end says what happened, and the trail who found out."""
    task = lose(cluster)
    cluster.await_record(task, {"FAILURE"}, within_s=cluster.timing.recovery_bound_s)

    cluster.judge(executed(task.id, exactly=0), ends_kept({task.id: LOST}))


@pytest.mark.promise("STALE-39")
def test_the_publisher_dies_before_its_message_goes_out(cluster: Cluster) -> None:
    """The record was written first; nothing will ever come."""
    cluster.worker("b")
    publisher = cluster.client("publisher", behind_proxy=True)
    assert publisher.links is not None
    cluster.publish("ok", queue="elsewhere", client=publisher)
    held = cluster.inject(sever(publisher.links.broker, Mode.HOLD), await_landing=False)
    task = cluster.unpublished("ok")
    with ThreadPoolExecutor(1) as beside:
        asked = beside.submit(cluster.publish, "ok", queue="a", client=publisher, handle=task)
        cluster.await_record(task, {"PENDING"})
        cluster.await_landing(held)
        cluster.inject(kill(publisher.process))
        assert isinstance(asked.exception(), NeverCame)
    cluster.inject(sever(publisher.links.broker, Mode.RESET))  # what was held must not be sent after all
    cluster.await_record(task, {"FAILURE"}, within_s=cluster.timing.recovery_bound_s)

    cluster.judge(executed(task.id, exactly=0), ends_kept({task.id: LOST}))


@pytest.mark.promise("STALE-39")
def test_what_waits_somewhere_is_left_alone(cluster: Cluster) -> None:
    """In a queue that nobody consumes, at a worker behind another task, or there until its time has come."""
    cluster.worker("b")
    worker = cluster.worker("a")
    ahead = cluster.hold("a")
    behind = cluster.publish("ok", queue="a")
    later = cluster.publish("ok", queue="a", options={"countdown": 3600.0})
    nowhere = cluster.publish("ok", queue="elsewhere")
    waiting = [behind, later, nowhere]
    for task in waiting[:2]:
        cluster.await_log(worker.process, "received", task.id)
    cluster.await_records(waiting, {"PENDING"})

    cluster.note("waiting")
    cluster.watch(waiting, 2 * cluster.timing.recovery_bound_s)
    cluster.note("still waiting")
    ahead.release()
    cluster.await_end(behind)

    cluster.judge(
        *(unchanged_between(task.id, "waiting", "still waiting", "false-lost") for task in waiting),
        ends_kept({behind.id: SUCCEEDED}),
    )
