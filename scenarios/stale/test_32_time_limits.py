"""STALE-32: a task that exceeds a time limit says which."""

import pytest

from harness import Cluster, ends_kept

LIMIT_S = 1.25


@pytest.mark.promise("STALE-32")
@pytest.mark.parametrize(
    ("option", "error"), [("soft_time_limit", "SoftTimeLimitExceeded"), ("time_limit", "TimeLimitExceeded")]
)
def test_the_limit_is_named(cluster: Cluster, option: str, error: str) -> None:
    """A task that never returns by itself is ended by its limit: FAILURE, with the kind of the limit and its length."""
    cluster.worker("a")
    task = cluster.publish("hold", queue="a", options={option: LIMIT_S})
    # Celery tells at once; a sweep, which finds out by itself what Celery does not tell, takes longer.
    cluster.await_record(task, {"FAILURE"}, within_s=LIMIT_S + cluster.timing.recovery_bound_s)

    named = {"status": "FAILURE", "error_type": error, "error_message": (f"{LIMIT_S:g}",)}
    cluster.judge(ends_kept({task.id: named}))
