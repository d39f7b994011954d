"""PERSIST-02: results are kept unless somebody says otherwise, by whatever way they ask."""

import pytest

from harness import Cluster, not_kept, say, stores_agree


@pytest.mark.promise("PERSIST-02")
def test_unless_told_otherwise(cluster: Cluster) -> None:
    """Each way of asking, with and without the word."""
    found = {"findings": [{"rule": "a"}], "tools_used": ["lint"]}
    analyses = cluster.analyses({"static": [say("static_analysis_result", analysis=found)]})
    api = cluster.api()
    cluster.worker("a", queues=["a", analyses.shape.queue])

    kept = [
        analyses.begin_by_api(api, "kept"),
        analyses.begin_by_api(api, "kept", persist=True),
        analyses.begin_by_command(api, "kept"),
        analyses.begin_by_code("kept"),
    ]
    dropped = [
        analyses.begin_by_api(api, "dropped", persist=False),
        analyses.begin_by_command(api, "dropped", "--no-persist"),
        analyses.begin_by_code("dropped", persist=False),
    ]
    for task in (*kept, *dropped):
        assert task is not None
        cluster.await_record(task, {"SUCCESS"})
    for task in kept:
        assert task is not None
        analyses.await_kept(task)
    for task in dropped:
        assert task is not None
        analyses.look(task)

    cluster.judge(*(stores_agree(task.id) for task in kept if task), *(not_kept(task.id) for task in dropped if task))
