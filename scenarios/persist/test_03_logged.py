"""PERSIST-03: each write is told on a line, and what is empty is warned of and written all the same."""

import pytest

from harness import Cluster, document_is, say, stores_agree, writes_logged


@pytest.mark.promise("PERSIST-03")
def test_lines_with_counts(cluster: Cluster) -> None:
    """Three findings of two tools; tools and findings missing; and nothing at all."""
    found = {"findings": [{"rule": "a"}, {"rule": "b"}, {"rule": "c"}], "tools_used": ["lint", "zap"]}
    analyses = cluster.analyses(
        {
            "static": [say("static_analysis_result", analysis=found)],
            "poor": [say("poor_analysis_result", analysis={"summary": {"note": "nothing to see"}})],
            "mute": [say("mute_analysis_result")],
        }
    )
    worker = cluster.worker("a", queues=["a", analyses.shape.queue])
    rich, poor, empty = (
        analyses.begin_by_code("shop.example", services=[service], metadata={"by": service})
        for service in ("static", "poor", "mute")
    )
    assert rich is not None
    assert poor is not None
    assert empty is not None
    for task in (rich, poor, empty):
        cluster.await_record(task, {"SUCCESS"})
        analyses.await_kept(task)
    cluster.await_log(worker.process, rich.id, "findings")
    cluster.note_logs("findings")

    cluster.judge(
        writes_logged(
            {
                rich.id: ["INFO", "3 findings", "2 tools", "1 services"],
                poor.id: ["WARNING", "0 findings"],
                empty.id: ["WARNING", "empty"],
            }
        ),
        stores_agree(empty.id, metadata={"by": "mute"}),
        document_is(poor.id, {"summary.total_findings": 0}),
    )
