"""The canaries: ordinary tasks, which the subject and every defect of it must leave alone."""

import pytest

from harness import Cluster, executed, outcome_unharmed


@pytest.mark.canary
def test_ordinary_tasks(cluster: Cluster) -> None:
    """A task returns, one fails, one retries; each caller gets its right end."""
    cluster.worker("a")
    good = cluster.publish("ok", "fine", queue="a")
    bad = cluster.publish("fail", queue="a")
    again = cluster.publish("retry_once", queue="a")
    for task in (good, bad, again):
        cluster.result(task)

    cluster.judge(
        outcome_unharmed(
            {good.id: ("SUCCESS", "'fine'"), bad.id: ("FAILURE", None), again.id: ("SUCCESS", "'retried'")}
        ),
        executed(good.id, exactly=1),
        executed(again.id, exactly=2),
    )
