"""STALE-21: a task that a sweep revoked is not executed again, whenever its message comes back."""

from dataclasses import replace

import pytest

from harness import Cluster, Mode, ends_kept, executed, expire_visibility, outcome_unharmed, sever
from scenarios.stale.deaths import die_with_unacknowledged_task


@pytest.mark.redis_broker
@pytest.mark.promise("STALE-21")
@pytest.mark.parametrize(
    ("name", "pool"), [("hold_late", "prefork"), ("hold_late_own_class", "prefork"), ("hold_late", "threads")]
)
def test_redelivered_to_a_worker_that_started_later(cluster: Cluster, name: str, pool: str) -> None:
    """The worker that receives the message again started after the sweep, and keeps no state of its own."""
    task = die_with_unacknowledged_task(cluster, name)
    cluster.await_record(task, {"REVOKED"})

    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    third = cluster.worker("c", queues=["a"], pool=pool)
    cluster.await_delivered(task, third)
    after = cluster.publish("ok", "after", queue="a")
    cluster.result(after)
    cluster.result(task)
    cluster.record(task)

    cluster.judge(
        executed(task.id, exactly=1),
        outcome_unharmed({after.id: ("SUCCESS", "'after'"), task.id: ("REVOKED", None)}),
        ends_kept({task.id: {"status": "REVOKED"}}),
    )


@pytest.mark.redis_broker
@pytest.mark.promise("STALE-21")
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_revocations_that_cannot_be_read(cluster: Cluster, pool: str) -> None:
    """Without its database a worker runs fresh tasks, and holds a redelivered one until it can ask."""
    task = die_with_unacknowledged_task(cluster)
    cluster.await_record(task, {"REVOKED"})
    third = cluster.worker("c", queues=["a"], pool=pool, behind_proxy=True)

    fault = cluster.inject(sever(third.postgres, Mode.REFUSE))
    fresh = cluster.publish("ok", "fresh", queue="a")
    cluster.result(fresh)
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    cluster.worker("d")  # a worker that starts puts back what is overdue
    cluster.await_log(third.process, "received", task.id)
    cluster.watch([task], 2 * cluster.timing.revocation_wait_s)
    cluster.heal(fault)
    cluster.await_delivered(task, third)

    cluster.judge(executed(task.id, exactly=1), outcome_unharmed({fresh.id: ("SUCCESS", "'fresh'")}))


@pytest.mark.redis_broker
@pytest.mark.promise("STALE-21")
def test_held_and_never_revoked(cluster: Cluster) -> None:
    """What was held because it might have been revoked, and was not, runs once that can be read."""
    task = die_with_unacknowledged_task(cluster, policy="report")
    third = cluster.worker("c", queues=["a"], behind_proxy=True)

    fault = cluster.inject(sever(third.postgres, Mode.REFUSE))
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    cluster.worker("d")  # a worker that starts puts back what is overdue
    cluster.await_log(third.process, "received", task.id)
    cluster.watch([task], 2 * cluster.timing.revocation_wait_s)
    cluster.heal(fault)
    cluster.await_record(task, {"SUCCESS"})

    cluster.judge(executed(task.id, exactly=2))


@pytest.mark.redis_broker
@pytest.mark.promise("STALE-21")
def test_told_to_run_what_cannot_be_read(cluster: Cluster) -> None:
    """Set to prefer an execution too many to a wait, a worker without its database runs what comes back."""
    task = die_with_unacknowledged_task(cluster)
    cluster.await_record(task, {"REVOKED"})
    willing = replace(cluster.timing, unreadable_revocations="run")
    third = cluster.worker("c", queues=["a"], behind_proxy=True, timing=willing)

    fault = cluster.inject(sever(third.postgres, Mode.REFUSE))
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    cluster.worker("d")  # a worker that starts puts back what is overdue
    cluster.await_log(third.process, "succeeded", task.id)
    cluster.heal(fault)

    cluster.judge(executed(task.id, exactly=2))


@pytest.mark.redis_broker
@pytest.mark.promise("STALE-21")
def test_told_to_run_after_a_while(cluster: Cluster) -> None:
    """Set to run what cannot be read, a worker asks first: a revocation that can be read within the wait is kept."""
    task = die_with_unacknowledged_task(cluster)
    cluster.await_record(task, {"REVOKED"})
    willing = replace(cluster.timing, unreadable_revocations="run", revocation_wait_s=cluster.timing.patience_s)
    third = cluster.worker("c", queues=["a"], behind_proxy=True, timing=willing)

    fault = cluster.inject(sever(third.postgres, Mode.REFUSE))
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    cluster.worker("d")  # a worker that starts puts back what is overdue
    cluster.await_log(third.process, "received", task.id)
    cluster.watch([task], cluster.timing.revocation_wait_s)
    cluster.heal(fault)
    cluster.await_delivered(task, third)

    cluster.judge(executed(task.id, exactly=1))
