"""PERSIST-07: no target and no type leads out of the folder of results."""

import pytest

from harness import Cluster, kept_out, nothing_outside, say, stores_agree

LONG = "x" * 300
WAYS = (
    "../../../../escaped",
    "..",
    ".",
    "a/b",
    "~",
    "CON",
    "nul.txt",
    LONG,
    f"{LONG}y",
    "a\\b",
    "new\nline",
    ".hidden",
    "ö/é",
)


@pytest.mark.promise("PERSIST-07")
def test_targets_and_types(cluster: Cluster) -> None:
    """Ways out, absolute paths, NUL, names of devices, and names that are too long; as target and as type."""
    found = {"findings": [{"rule": "a"}], "tools_used": ["lint"]}
    analyses = cluster.analyses({"static": [say("static_analysis_result", analysis=found)]})
    api = cluster.api()
    cluster.worker("a", queues=["a", analyses.shape.queue])
    absolute = str(analyses.around / "absolute")

    tasks = []
    for way in (*WAYS, absolute):
        tasks.append(analyses.begin_by_api(api, way))
        tasks.append(analyses.begin_by_api(api, "shop.example", analysis_type=way))
    for name in ("target", "analysis_type"):
        body = b'{"target": "t", "%s": "a\\u0000b"}' % name.encode()
        cluster.note("forbidden", what="NUL", allowed=[400, 422], answer=api.ask("analyse", method="POST", body=body))
    begun = [task for task in tasks if task is not None]
    cluster.await_records(begun, {"SUCCESS", "FAILURE"})
    analyses.await_kept(*begun)

    assert len(begun) == len(tasks)
    cluster.judge(nothing_outside(), kept_out(leaks=[], well={}), *(stores_agree(task.id) for task in begun))
