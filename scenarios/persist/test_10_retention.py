"""PERSIST-10: old files go, but not those of a task that runs; large ones are packed, and are read like any other."""

import pytest

from harness import Cluster, files_kept, say, stores_agree

KEEP_S = 4.0
FOUND = {"findings": [{"rule": "a"}], "tools_used": ["lint"]}


@pytest.mark.promise("PERSIST-10")
def test_old_files(cluster: Cluster) -> None:
    """Of two that are old enough, the task of one runs again, as its message was delivered twice."""
    analyses = cluster.analyses({"static": [say("static_analysis_result", analysis=FOUND)]}, keep_s=KEEP_S)
    cluster.worker("a", queues=["a", analyses.shape.queue])
    running = analyses.begin_by_code("running")
    assert running is not None
    cluster.await_record(running, {"SUCCESS"})
    table = cluster.subject.tables["registry"]
    cluster.query(f"UPDATE {table} SET status = 'STARTED' WHERE task_id = %s", running.id)  # noqa: S608 - the subject's own table
    old = analyses.begin_by_code("old")
    assert old is not None
    cluster.await_record(old, {"SUCCESS"})
    analyses.await_kept(running, old)

    analyses.await_gone(old)
    cluster.watch([old], cluster.timing.sweep_interval_s * 3)
    analyses.look(running)

    cluster.judge(files_kept(kept=[running.id], removed=[old.id]))


@pytest.mark.promise("PERSIST-10")
def test_large_files(cluster: Cluster) -> None:
    """One that is over the limit, and one below it; an API gives both as they are."""
    large = {**FOUND, "raw_outputs": {"lint": "0123456789" * 5000}}
    analyses = cluster.analyses(
        {
            "static": [say("static_analysis_result", analysis=FOUND)],
            "large": [say("large_analysis_result", analysis=large)],
        },
        gzip_bytes=20_000,
    )
    api = cluster.api()
    cluster.worker("a", queues=["a", analyses.shape.queue])
    small, packed = (analyses.begin_by_code("shop.example", services=[name]) for name in ("static", "large"))
    assert small is not None
    assert packed is not None
    for task in (small, packed):
        cluster.await_record(task, {"SUCCESS"})
        analyses.await_kept(task)
        analyses.look(task, api=api)

    cluster.judge(stores_agree(small.id, packed=False), stores_agree(packed.id, packed=True))
