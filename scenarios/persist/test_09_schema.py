"""PERSIST-09: what breaks the schema is kept with the reasons, and what older versions kept stays readable."""

import json
from typing import Any

import pytest

from harness import Cluster, document_is, say, stores_agree

BROKEN: dict[str, Any] = {"findings": {"rule": "a"}, "tools_used": "lint", "note": "kept"}
FLAT = {
    "task_id": "...",
    "target": "old.example",
    "analysis_type": "full",
    "timestamp": "2020-01-01T00:00:00Z",
    "findings": [{"rule": "old"}],
    "tools_used": ["lint"],
}


@pytest.mark.promise("PERSIST-09")
def test_what_breaks_the_schema(cluster: Cluster) -> None:
    """One of two services answers with lists that are none."""
    analyses = cluster.analyses(
        {
            "static": [say("static_analysis_result", analysis=BROKEN)],
            "dynamic": [say("dynamic_analysis_result", analysis={"findings": [{"rule": "b"}]})],
        }
    )
    cluster.worker("a", queues=["a", analyses.shape.queue])
    task = analyses.begin_by_code("shop.example")
    assert task is not None
    cluster.await_record(task, {"SUCCESS"})
    analyses.await_kept(task)

    expected = {
        "summary.status": "invalid",
        "invalid": ...,
        "results.raw_outputs.static": BROKEN,
        "results.findings": [{"rule": "b"}],
    }
    cluster.judge(document_is(task.id, expected), stores_agree(task.id))


@pytest.mark.promise("PERSIST-09")
def test_an_older_layout(cluster: Cluster) -> None:
    """A document that is flat, as it was before findings stood among results."""
    analyses = cluster.analyses({"static": [say("static_analysis_result", analysis={"tools_used": ["lint"]})]})
    api = cluster.api()
    cluster.worker("a", queues=["a", analyses.shape.queue])
    task = analyses.begin_by_code("old.example")
    assert task is not None
    cluster.await_record(task, {"SUCCESS"})
    analyses.await_kept(task)
    columns = analyses.shape.columns
    cluster.query(
        f"UPDATE {analyses.shape.table} SET {columns['document']} = %s WHERE {columns['task_id']} = %s",  # noqa: S608 - the subject's own names
        json.dumps(FLAT),
        task.id,
    )
    analyses.look(task, api=api)

    expected = {"results.findings": FLAT["findings"], "results.tools_used": ["lint"], "summary.total_findings": 1}
    cluster.judge(document_is(task.id, expected))
