"""STALE-13: a task is known from its publication on, and publishing does not hang on the tracker."""

import pytest

from harness import Cluster, Mode, outcome_unharmed, published_in_time, queue_time_told, sever


@pytest.mark.promise("STALE-13")
def test_waiting_and_running_are_told_apart(cluster: Cluster) -> None:
    """A task is published before any worker consumes its queue."""
    task = cluster.publish("ok", queue="a")
    cluster.await_record(task, {"PENDING"})

    cluster.worker("a")
    cluster.await_end(task)

    cluster.judge(queue_time_told(task.id))


@pytest.mark.promise("STALE-13")
@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.HOLD])
def test_a_publisher_without_the_database(cluster: Cluster, mode: Mode) -> None:
    """The publisher cannot reach the database, or gets no answer from it; it publishes within the bound."""
    cluster.worker("a")
    publisher = cluster.client("publisher", behind_proxy=True)
    before = cluster.publish("ok", "before", queue="a", client=publisher)
    cluster.await_end(before)
    assert publisher.links is not None

    fault = cluster.inject(sever(publisher.links.postgres, mode), await_landing=False)
    task = cluster.publish("ok", "during", queue="a", client=publisher)
    cluster.await_landing(fault)
    cluster.result(task)

    cluster.judge(
        published_in_time(task.id, cluster.subject.limits["write_timeout_s"] + 1.0),
        outcome_unharmed({task.id: ("SUCCESS", "'during'")}),
    )
