"""STALE-03: megabytes of arguments do not become megabytes of registry."""

import pytest

from harness import Cluster, arguments_bounded, outcome_unharmed

SIZE = 5_000_000


@pytest.mark.promise("STALE-03")
def test_megabytes_of_arguments(cluster: Cluster) -> None:
    """Five megabytes of text, alone and in a structure, are stored truncated, and say how large they were."""
    cluster.worker("a")
    limit = int(cluster.subject.limits["stored_arguments_bytes"])
    text = cluster.publish("take", "x" * SIZE, queue="a")
    rows = cluster.publish("take", queue="a", rows=["y" * 1000] * (SIZE // 1000))
    for task in (text, rows):
        cluster.await_end(task)
        cluster.result(task)

    cluster.judge(
        arguments_bounded(text.id, limit, SIZE),
        arguments_bounded(rows.id, limit, SIZE),
        outcome_unharmed({text.id: ("SUCCESS", None), rows.id: ("SUCCESS", None)}),
    )
