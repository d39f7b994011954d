"""PERSIST-08: a write that meets passing trouble is tried again, and given up after a while."""

import pytest

from harness import Cluster, occupy, say, stores_agree, writes_logged

FOUND = {"findings": [{"rule": "a"}], "tools_used": ["lint"]}


@pytest.mark.promise("PERSIST-08")
def test_trouble_that_passes(cluster: Cluster) -> None:
    """It is over after the first attempt; a later one writes the file, and nothing is given up."""
    analyses = cluster.analyses({"static": [say("static_analysis_result", analysis=FOUND)]})
    worker = cluster.worker("a", queues=["a", analyses.shape.queue])
    before = analyses.begin_by_code("before")
    assert before is not None
    cluster.await_record(before, {"SUCCESS"})

    fault = cluster.inject(occupy(analyses.place.results))
    task = analyses.begin_by_code("shop.example")
    assert task is not None
    cluster.await_log(worker.process, "attempt 1", task.id)
    cluster.heal(fault)
    cluster.await_record(task, {"SUCCESS"})
    analyses.await_kept(task)
    cluster.note_logs("attempt")

    cluster.judge(writes_logged({task.id: ["attempt 1", "again in"]}), stores_agree(task.id))


@pytest.mark.promise("PERSIST-08")
def test_trouble_that_stays(cluster: Cluster) -> None:
    """Each pause is longer than the one before, and in the end a line says that it is given up for now."""
    analyses = cluster.analyses({"static": [say("static_analysis_result", analysis=FOUND)]})
    cluster.worker("a", queues=["a", analyses.shape.queue])
    before = analyses.begin_by_code("before")
    assert before is not None
    cluster.await_record(before, {"SUCCESS"})

    cluster.inject(occupy(analyses.place.results, read_only=True))
    task = analyses.begin_by_code("shop.example")
    assert task is not None
    cluster.await_record(task, {"SUCCESS"})
    cluster.note_logs("attempt")

    cluster.judge(
        writes_logged({task.id: ["attempt 1", "again in 0.25 s"]}),
        writes_logged({task.id: ["attempt 2", "again in 0.50 s"]}),
        writes_logged({task.id: ["attempt 3", "again in 1.00 s"]}),
        writes_logged({task.id: ["WARNING", "not written after 4 attempts"]}),
    )
