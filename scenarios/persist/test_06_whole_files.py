"""PERSIST-06: a reader never sees half a file, wherever its writer was killed."""

import pytest

from harness import Cluster, files_whole, kill, say, stores_agree

LARGE = "x" * 300_000


@pytest.mark.promise("PERSIST-06")
@pytest.mark.parametrize("step", ["mkdir", "write", "fsync", "rename", "renamed"])
def test_killed_while_it_writes(cluster: Cluster, step: str) -> None:
    """The worker dies at this step of writing a file; another one writes it."""
    found = {"findings": [{"rule": "a"}], "tools_used": ["lint"], "raw_outputs": {"lint": LARGE}}
    analyses = cluster.analyses({"static": [say("static_analysis_result", analysis=found)]}, gzip_bytes=1 << 30)
    queues = ["a", analyses.shape.queue]
    doomed = cluster.worker("a", queues=queues, environment={"CELERY_CONFORMANCE_FILE_STEP": step})
    task = analyses.begin_by_code("shop.example")
    assert task is not None
    task.await_mark("file step")
    analyses.look(task)

    cluster.inject(kill(doomed.process))
    analyses.look(task)
    cluster.worker("b")
    analyses.await_kept(task)

    cluster.judge(files_whole(), stores_agree(task.id))
