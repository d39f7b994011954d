"""PERSIST-11: metrics tell how long writing takes, how much is written, and how often it fails."""

import pytest

from harness import Cluster, occupy, persisting_measured, say


@pytest.mark.promise("PERSIST-11")
def test_two_writes_and_an_error(cluster: Cluster) -> None:
    """One file is written at once, one after the disk has made trouble."""
    found = {"findings": [{"rule": "a"}], "tools_used": ["lint"]}
    analyses = cluster.analyses({"static": [say("static_analysis_result", analysis=found)]})
    worker = cluster.worker("a", queues=["a", analyses.shape.queue], metrics=True)
    first = analyses.begin_by_code("before")
    assert first is not None
    cluster.await_record(first, {"SUCCESS"})
    analyses.await_kept(first)
    fault = cluster.inject(occupy(analyses.place.results))
    second = analyses.begin_by_code("shop.example")
    assert second is not None
    cluster.await_log(worker.process, "attempt 1", second.id)
    cluster.heal(fault)
    cluster.await_record(second, {"SUCCESS"})
    analyses.await_kept(second)

    cluster.scrape(worker, "when both are written", at_least={"file_writes": 2, "file_errors": 1})

    cluster.judge(persisting_measured(writes=2))
