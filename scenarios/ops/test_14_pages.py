"""OPS-14: the list behind the view is paged and filtered, and pages stay whole while tasks finish."""

import pytest

from harness import Cluster, Task, pages_whole


@pytest.mark.promise("OPS-14")
def test_while_tasks_finish(cluster: Cluster) -> None:
    """Between two pages, tasks of both of them end."""
    api = cluster.api()
    cluster.worker("a", concurrency=2)
    held = [cluster.hold("a") for _ in range(2)]
    ended = [cluster.publish("ok", queue="nobody's") for _ in range(5)]
    last = [cluster.hold("b") for _ in range(2)] if cluster.worker("b", concurrency=2) else []
    tasks = [*held, *ended, *last]

    def finish(task: Task) -> None:
        task.release()
        cluster.await_end(task)

    page = api.ask_lines(limit=4)
    for task in (last[0], held[0]):
        finish(task)
    while page["next"]:
        page = api.ask_lines(limit=4, cursor=page["next"])
    for task in (last[1], held[1]):
        finish(task)

    cluster.judge(pages_whole([task.id for task in tasks]))


@pytest.mark.promise("OPS-14")
def test_by_status_name_and_time(cluster: Cluster) -> None:
    """Of tasks that differ in all three, those that are asked for."""
    api = cluster.api()
    cluster.worker("a")
    early = cluster.publish("ok", queue="a")
    since = cluster.await_end(early)
    assert since is not None
    assert since.completed_at is not None
    wanted = [cluster.publish("ok", queue="a") for _ in range(3)]
    for task in (*wanted, cluster.publish("noop", queue="a")):
        cluster.await_record(task, {"SUCCESS"})
    cluster.await_end(cluster.publish("fail", queue="a"), "FAILURE")
    cluster.publish("ok", queue="nobody's")
    until = cluster.await_end(cluster.publish("ok", queue="a"))
    assert until is not None
    assert until.queued_at is not None

    times = {"since": since.completed_at.isoformat(), "until": until.queued_at.isoformat()}
    asked = {"status": ["completed"], "name": "conformance.ok", "limit": 2, **times}
    page = api.ask_lines(**asked)
    while page["next"]:
        page = api.ask_lines(**asked, cursor=page["next"])

    cluster.judge(pages_whole([task.id for task in wanted]))
