"""STALE-33: however a task is called, it is tracked."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness import Cluster, Task, all_tracked

SOON = {"countdown": 0.5}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "countdown": SOON,
    "expires": {"expires": 600},
    "without a result": {"ignore_result": True},
}


def await_success(cluster: Cluster, tasks: Sequence[Task]) -> None:
    """Wait for the record of each task."""
    for task in tasks:
        cluster.await_record(task, {"SUCCESS"})


@pytest.mark.promise("STALE-33")
@pytest.mark.parametrize("kind", ["chain", "group", "chord", "chain of groups"])
def test_composed(cluster: Cluster, kind: str) -> None:
    """Each member of a composition has a record of its own."""
    cluster.worker("a")
    members = cluster.compose(kind, queue="a")
    await_success(cluster, members)

    cluster.judge(all_tracked([task.id for task in members]))


@pytest.mark.promise("STALE-33")
def test_with_options_and_from_within(cluster: Cluster) -> None:
    """A countdown, an eta, a time to expire, no result wanted, and a task that another one calls."""
    cluster.worker("a")
    tasks = [cluster.publish("ok", queue="a", options=options) for options in OPTIONS.values()]
    eta = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    tasks.append(cluster.publish("ok", queue="a", options={"eta": eta}))
    nest = cluster.publish("nest", "a", queue="a")
    inner = cluster.task(str(cluster.result(nest)["value"]).strip("'"))
    tasks += [nest, inner]
    await_success(cluster, tasks)

    cluster.judge(all_tracked([task.id for task in tasks]))


@pytest.mark.promise("STALE-33")
def test_periodic(cluster: Cluster) -> None:
    """What beat publishes is tracked like everything else."""
    cluster.worker("a", beat={"ok": 0.5})
    cluster.publish("ok", queue="a")
    cluster.await_truth("end", count=3)
    tasks = {cluster.task(str(entry.task)) for entry in cluster.history.truth("start")}
    await_success(cluster, sorted(tasks, key=lambda task: task.id))

    cluster.judge(all_tracked([task.id for task in tasks]))


@pytest.mark.promise("STALE-33")
@pytest.mark.requires("eager")
def test_eager(cluster: Cluster) -> None:
    """A task that runs where it is called, without a queue and without a worker."""
    task = cluster.run_eagerly("ok")
    await_success(cluster, [task])

    cluster.judge(all_tracked([task.id]))
