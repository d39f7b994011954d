"""RESULT-14: hundreds watch one task; one subscription stands behind them, and each is told."""

import pytest

from harness import Cluster, watchers_told

READERS = 300
SOON_S = 5.0
LISTENING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen%%'"


@pytest.mark.promise("RESULT-14")
def test_one_task(cluster: Cluster) -> None:
    """Three hundred readers open a socket each; the task reports, and returns."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.publish("report", {"current": 1, "total": 2}, queue="a")
    task.await_mark()
    readers = [api.follow(task) for _ in range(READERS)]
    for reader in readers:
        api.await_heard(reader, lambda reader: reader.heard)
    cluster.note("listeners", count=cluster.query(LISTENING)[0][0])

    task.release()
    cluster.await_end(task)
    for reader in readers:
        api.await_heard(reader, lambda reader: reader.closed)
    api.note_heard(*readers)

    cluster.judge(watchers_told(task.id, readers=READERS, within_s=SOON_S, listeners=1))
