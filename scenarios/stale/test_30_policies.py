"""STALE-30: what a sweep does with a dead worker's task is chosen, for each task where wanted."""

import json
from dataclasses import replace

import pytest

from harness import Cluster, Task, Timing, ends_kept, executed, expire_visibility, kill, outcome_unharmed, went_through

AT_LEAST = {"status": "SUCCESS", "attempts": 2}


def die(cluster: Cluster, timing: Timing, task: str = "hold", value: object = "released") -> Task:
    """A worker is killed in the middle of a task, and another one sweeps."""
    cluster.worker("b", timing=timing)
    victim = cluster.worker("a", timing=timing)
    held = cluster.publish(task, "working", value, queue="a")
    held.await_mark()
    cluster.await_record(held, {"STARTED"})
    cluster.inject(kill(victim.process))
    return held


def run_again(cluster: Cluster, task: Task, timing: Timing) -> None:
    """A third worker is given the task, and finishes it."""
    cluster.worker("c", queues=["a"], timing=timing)
    task.await_mark(count=2)
    task.release()
    cluster.await_end(task)
    cluster.result(task)
    cluster.audit(task)


@pytest.mark.promise("STALE-30")
def test_revoke(cluster: Cluster) -> None:
    """REVOKED, executed once, and whoever waits is told."""
    task = die(cluster, replace(cluster.timing, policy="revoke"))
    cluster.await_record(task, {"REVOKED"})
    cluster.result(task)

    cluster.judge(
        executed(task.id, exactly=1),
        outcome_unharmed({task.id: ("REVOKED", None)}),
        ends_kept({task.id: {"status": "REVOKED"}}),
    )


@pytest.mark.promise("STALE-30")
@pytest.mark.parametrize(
    ("kind", "before", "end"), [("chain from a hold", 0, "REVOKED"), ("chord over a hold", 1, "FAILURE")]
)
def test_what_waits_for_it_ends(cluster: Cluster, kind: str, before: int, end: str) -> None:
    """The rest of its chain, or the body of its chord, does not wait for a revoked task for ever."""
    cluster.worker("b")
    victim = cluster.worker("a", concurrency=2)
    first, *others, last = cluster.compose(kind, queue="a")
    first.await_mark()
    for task in others[:before]:
        cluster.await_end(task)
    cluster.await_record(first, {"STARTED"})
    cluster.inject(kill(victim.process))
    cluster.await_record(first, {"REVOKED"})
    cluster.worker("c", queues=["a"])
    for task in (first, last):
        cluster.result(task)

    cluster.judge(
        executed(first.id, exactly=1),
        executed(last.id, exactly=0),
        outcome_unharmed({first.id: ("REVOKED", None), last.id: (end, None)}),
    )


@pytest.mark.promise("STALE-30")
@pytest.mark.redis_broker
def test_redeliver(cluster: Cluster) -> None:
    """The default of a task that is acknowledged late: it waits for the broker, and completes at another worker."""
    timing = replace(cluster.timing, policy="auto")
    task = die(cluster, timing, "hold_late", value="complete")
    cluster.await_record(task, {"RETRY"})
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    run_again(cluster, task, timing)

    cluster.judge(
        executed(task.id, exactly=2),
        outcome_unharmed({task.id: ("SUCCESS", "'complete'")}),
        went_through(task.id, "PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"),
        ends_kept({task.id: AT_LEAST}),
    )


@pytest.mark.promise("STALE-30")
@pytest.mark.redis_broker
def test_a_redelivery_that_does_not_come(cluster: Cluster) -> None:
    """Past the bound the task is REVOKED, and whoever waits is told."""
    task = die(cluster, replace(cluster.timing, policy="redeliver", redelivery_bound_s=1.0), "hold_late")
    cluster.await_record(task, {"REVOKED"})
    cluster.result(task)
    cluster.audit(task)

    cluster.judge(
        executed(task.id, exactly=1),
        outcome_unharmed({task.id: ("REVOKED", None)}),
        went_through(task.id, "PENDING", "STARTED", "RETRY", "REVOKED"),
    )


@pytest.mark.promise("STALE-30")
def test_requeue(cluster: Cluster) -> None:
    """The message is sent again as it was: arguments longer than what is stored of them, and a secret among them."""
    timing = replace(cluster.timing, policy="requeue")
    long = "complete " * int(cluster.subject.limits["stored_arguments_bytes"])
    value = {"token": "not masked in the message", "text": long}
    task = die(cluster, timing, value=value)
    cluster.await_record(task, {"PENDING"})
    run_again(cluster, task, timing)
    described = cluster.described(value)

    cluster.judge(
        executed(task.id, exactly=2),
        outcome_unharmed({task.id: ("SUCCESS", described)}),
        went_through(task.id, "PENDING", "STARTED", "PENDING", "STARTED", "SUCCESS"),
        ends_kept({task.id: AT_LEAST}),
    )


@pytest.mark.promise("STALE-30")
def test_requeue_without_a_message(cluster: Cluster) -> None:
    """A message over the limit was not kept: the sweep says so, and ends the task."""
    limit = int(cluster.subject.limits["stored_message_bytes"])
    task = die(cluster, replace(cluster.timing, policy="requeue"), value="z" * limit)
    cluster.await_record(task, {"REVOKED"})
    cluster.audit(task)

    cluster.judge(
        executed(task.id, exactly=1),
        ends_kept({task.id: {"status": "REVOKED", "error_message": ("cannot be requeued", "bytes")}}),
        went_through(task.id, "PENDING", "STARTED", "REVOKED"),
    )


@pytest.mark.promise("STALE-30")
def test_by_task_name(cluster: Cluster) -> None:
    """Of two tasks of a dead worker one is only reported, and one revoked, by their names."""
    named = json.dumps({"conformance.hold": "report"})
    timing = replace(cluster.timing, policy="revoke", task_policies=named)
    cluster.worker("b", timing=timing)
    victim = cluster.worker("a", timing=timing, concurrency=2)
    reported, revoked = cluster.hold("a"), cluster.hold("a", task="hold_late")
    cluster.inject(kill(victim.process))
    cluster.await_record(revoked, {"REVOKED"})
    cluster.watch([reported], cluster.timing.recovery_bound_s)
    for task in (reported, revoked):
        cluster.audit(task)

    cluster.judge(
        went_through(reported.id, "PENDING", "STARTED"), went_through(revoked.id, "PENDING", "STARTED", "REVOKED")
    )
