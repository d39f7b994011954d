"""RESULT-14: hundreds watch one task; one subscription stands behind them, and each is told."""

import pytest

from harness import Api, Cluster, Follower, Task, watchers_told

READERS, FEW, MANY = 300, 5, 30
WEIGHTY = "x" * 100_000
SOON_S = 5.0
LISTENING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen%%'"


def followed(cluster: Cluster, api: Api, count: int) -> tuple[Task, list[Follower]]:
    """A task that is held, and so many readers who have heard how it stands."""
    task = cluster.publish("report", {"current": 1, "total": 2}, queue="a")
    task.await_mark()
    readers = [api.follow(task) for _ in range(count)]
    for reader in readers:
        api.await_heard(reader, lambda reader: reader.heard)
    cluster.note("listeners", count=cluster.query(LISTENING)[0][0])
    return task, readers


def end(cluster: Cluster, api: Api, task: Task, readers: list[Follower]) -> None:
    """Let it return, and note what each reader heard until its socket was closed."""
    task.release()
    cluster.await_end(task)
    for reader in readers:
        api.await_heard(reader, lambda reader: reader.closed)
    api.note_heard(*readers)


@pytest.mark.promise("RESULT-14")
def test_one_task(cluster: Cluster) -> None:
    """Three hundred readers open a socket each; the task reports, and returns."""
    api = cluster.api()
    cluster.worker("a")
    task, readers = followed(cluster, api, READERS)

    end(cluster, api, task, readers)

    cluster.judge(watchers_told(task.id, readers=READERS, within_s=SOON_S, listeners=1))


@pytest.mark.promise("RESULT-14")
def test_somebody_who_takes_nothing(cluster: Cluster) -> None:
    """A socket of somebody who does not read is full to the brim; the task returns, and all others are told."""
    api = cluster.api()
    cluster.worker("a")
    weighty = [cluster.publish("fail", WEIGHTY, queue="a") for _ in range(MANY)]
    for each in weighty:
        cluster.await_end(each, "FAILURE")
    task, readers = followed(cluster, api, FEW)

    cluster.inject(api.clog(weighty))
    end(cluster, api, task, readers)

    cluster.judge(watchers_told(task.id, readers=FEW, within_s=SOON_S, listeners=1))
