"""PERSIST-01: both stores hold the same result, whoever asked for it."""

import pytest

from harness import Cluster, Gate, say, stores_agree

FOUND = {
    "findings": [{"rule": "a-1", "message": "naïve \u0000 text"}, {"rule": "b-2", "line": 17, "weight": 0.25}],
    "tools_used": ["lint"],
    "tool_results": {"lint": {"exit": 1}},
    "raw_outputs": {"lint": "1 problem"},
    "summary": {"worst": "b-2"},
    "success": True,
}


@pytest.mark.promise("PERSIST-01")
def test_by_api_command_and_code(cluster: Cluster) -> None:
    """Two services answer; each way of asking has metadata of its own, and one gets more while it is analysed."""
    analyses = cluster.analyses(
        {
            "static": [say("progress_update", percent=50), say("static_analysis_result", analysis=FOUND)],
            "dynamic": [say("dynamic_analysis_result", analysis={**FOUND, "tools_used": ["zap"]})],
        }
    )
    api = cluster.api()
    cluster.worker("a", queues=["a", analyses.shape.queue])
    tasks = {
        "api": analyses.begin_by_api(api, "shop.example", metadata={"asked_by": "api"}),
        "command": analyses.begin_by_command(api, "shop.example", "--type", "quick", "--metadata", "asked_by=command"),
        "code": analyses.begin_by_code("shop.example", app_number=3, metadata={"asked_by": "code"}),
    }

    for task in tasks.values():
        assert task is not None
        cluster.await_record(task, {"SUCCESS"})
        analyses.await_kept(task)
        analyses.look(task, api=api)

    cluster.judge(*(stores_agree(task.id, metadata={"asked_by": by}) for by, task in tasks.items() if task))


@pytest.mark.promise("PERSIST-01")
def test_metadata_that_was_there_before(cluster: Cluster) -> None:
    """Somebody adds to the metadata while the analysers are at work."""
    gate = Gate()
    analyses = cluster.analyses({"static": [gate, say("static_analysis_result", analysis=FOUND)]})
    cluster.worker("a", queues=["a", analyses.shape.queue])
    task = analyses.begin_by_code("shop.example", metadata={"asked_by": "code"})
    assert task is not None
    cluster.await_seen("a question", lambda: gate.reached or None)
    columns = analyses.shape.columns
    cluster.query(
        f"UPDATE {analyses.shape.table} SET {columns['metadata']} = {columns['metadata']} || %s WHERE task_id = %s",  # noqa: S608 - the subject's own names
        '{"ticket": "T-17"}',
        task.id,
    )
    gate.open()

    cluster.await_record(task, {"SUCCESS"})
    analyses.await_kept(task)

    cluster.judge(stores_agree(task.id, metadata={"asked_by": "code", "ticket": "T-17"}))
