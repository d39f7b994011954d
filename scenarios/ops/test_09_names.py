"""OPS-09: tasks have names that can be read, although the result backend keeps none."""

from datetime import UTC, datetime

import pytest

from harness import Cluster, lines_true

NAMES = {
    "shop.billing.tasks.send_invoice": "Send invoice",
    "SendReminder": "Send reminder",
    "shop.exports.CSV_export": "CSV export",
}


@pytest.mark.promise("OPS-09")
def test_dotted_paths(cluster: Cluster) -> None:
    """A task that ran, one that runs, and some of other names."""
    api = cluster.api()
    cluster.worker("a")
    ended = cluster.publish("ok", queue="a")
    cluster.await_end(ended)
    held = cluster.hold("a")
    now = datetime.now(UTC)
    planted = {name: cluster.unpublished("ok") for name in NAMES}
    for name, task in planted.items():
        cluster.plant(task, name=name, status="SUCCESS", queued_at=now, completed_at=now)

    api.await_sitrep(lambda told: len(told["lines"]) == 2 + len(NAMES))
    held.release()
    cluster.await_end(held)

    expected = {task.id: {"name": NAMES[name]} for name, task in planted.items()}
    cluster.judge(lines_true(expected | {ended.id: {"name": "Ok"}, held.id: {"name": "Hold"}}))
