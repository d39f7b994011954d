"""STALE-13: a task is known from its publication on, and publishing does not hang on the tracker."""

import pytest

from harness import Cluster, Mode, outcome_unharmed, published_in_time, queue_time_told, sever

PROMPT_S = 1.0
"""How much longer than its write may take a publication needs on a loaded machine."""


@pytest.mark.promise("STALE-13")
def test_waiting_and_running_are_told_apart(cluster: Cluster) -> None:
    """A task is published while there is no worker that could tell of it; its record is there at once."""
    task = cluster.publish("ok", queue="a")
    cluster.await_record(task, {"PENDING"}, within_s=cluster.subject.limits["write_timeout_s"] + PROMPT_S)

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
        published_in_time(task.id, cluster.subject.limits["write_timeout_s"] + PROMPT_S),
        outcome_unharmed({task.id: ("SUCCESS", "'during'")}),
    )


@pytest.mark.promise("STALE-13")
@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.HOLD])
def test_a_publisher_that_never_had_the_database(cluster: Cluster, mode: Mode) -> None:
    """The database is away before the publisher's first publication, which has no connection to lose."""
    cluster.worker("a")
    publisher = cluster.client("publisher", behind_proxy=True)
    assert publisher.links is not None

    fault = cluster.inject(sever(publisher.links.postgres, mode), await_landing=False)
    task = cluster.publish("ok", "cold", queue="a", client=publisher)
    cluster.await_landing(fault)
    cluster.result(task)

    cluster.judge(
        published_in_time(task.id, cluster.subject.limits["write_timeout_s"] + PROMPT_S),
        outcome_unharmed({task.id: ("SUCCESS", "'cold'")}),
    )
