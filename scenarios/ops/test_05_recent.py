"""OPS-05: what is shown as recent is what ended last, and not a sample."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from harness import Cluster, Stored, recent_first

STORED = 3000
SHOWN = 10


@pytest.mark.promise("OPS-05")
def test_among_thousands(cluster: Cluster, harness_seed: int) -> None:
    """Thousands of results, stored in another order than that of their ends; then two tasks end."""
    api = cluster.api()
    cluster.worker("a")
    began = datetime.now(UTC) - timedelta(days=1)
    moments = [(began + timedelta(seconds=number)).isoformat() for number in range(STORED)]
    entries = [Stored(date_done=moment) for moment in moments]
    shuffled = Random(harness_seed).sample(entries, STORED)  # noqa: S311 - to be repeated, not a secret
    cluster.store(shuffled)
    last = [cluster.publish("ok", queue="a") for _ in range(2)]
    for task in last:
        cluster.await_end(task)

    api.await_sitrep(lambda told: told["remarks"]["unread"] == 0, limit=SHOWN)

    newest = [task.id for task in reversed(last)] + [entry.task_id for entry in reversed(entries)]
    cluster.judge(recent_first(newest[:SHOWN]))
