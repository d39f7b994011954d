"""STALE-04: tuples become lists, as Celery's own JSON serializer makes of them."""

import pytest

from harness import Cluster, arguments_are


@pytest.mark.promise("STALE-04")
def test_tuples_at_any_depth(cluster: Cluster) -> None:
    """Tuples alone, in each other, and in dictionaries: the record holds lists of the same items."""
    cluster.worker("a")
    task = cluster.publish("take", (1, ("two", ())), queue="a", pair=(3, 4), within={"deep": [(5,)]})
    cluster.await_record(task, {"SUCCESS"})

    cluster.judge(arguments_are(task.id, [1, ["two", []]], pair=[3, 4], within={"deep": [[5]]}))
