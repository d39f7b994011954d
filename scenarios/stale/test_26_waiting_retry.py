"""STALE-26: a task that waits for its retry belongs to no worker, and its first worker's death changes nothing."""

import pytest

from harness import Cluster, executed, expire_visibility, kill, outcome_unharmed, unchanged_between

COUNTDOWN_S = 4.0


@pytest.mark.redis_broker
@pytest.mark.promise("STALE-26")
def test_the_first_worker_dies_while_the_retry_waits(cluster: Cluster) -> None:
    """The retry waits for its eta in a worker that is killed; sweeps leave it, and another worker runs it."""
    cluster.worker("b")
    victim = cluster.worker("a")
    task = cluster.publish("retry_once", COUNTDOWN_S, queue="a")
    cluster.await_record(task, {"RETRY"})
    cluster.await_log(victim.process, "received", task.id, count=2)
    cluster.await_record(task, lambda record: record.error_message is not None)

    cluster.note("waiting")
    cluster.inject(kill(victim.process))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.note("waited")
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    cluster.worker("c", queues=["a"])
    cluster.await_record(task, {"SUCCESS"})
    cluster.result(task)

    cluster.judge(
        unchanged_between(task.id, "waiting", "waited", "false-dead"),
        executed(task.id, exactly=2),
        outcome_unharmed({task.id: ("SUCCESS", "'retried'")}),
    )
