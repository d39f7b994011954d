"""PERSIST-04: trouble with the disk fails no task, and the file is written when it is over."""

import pytest

from harness import Cluster, limit_files, occupy, say, stores_agree, trouble_survived

LARGE = "".join(f"{number:08x}" for number in range(300_000))


@pytest.mark.promise("PERSIST-04")
@pytest.mark.parametrize("trouble", ["read-only", "gone", "full"])
def test_until_it_is_healed(cluster: Cluster, trouble: str) -> None:
    """Nothing can be made there, it is no directory any more, or no file may grow beyond a megabyte."""
    found = {"findings": [{"rule": "a"}], "tools_used": ["lint"], "raw_outputs": {"lint": LARGE}}
    analyses = cluster.analyses({"static": [say("static_analysis_result", analysis=found)]}, gzip_bytes=1 << 30)
    worker = cluster.worker("a", queues=["a", analyses.shape.queue])
    before = analyses.begin_by_code("before")
    assert before is not None
    cluster.await_record(before, {"SUCCESS"})
    analyses.await_kept(before)

    process, results = worker.process, analyses.place.results
    blocked = occupy(results, read_only=trouble == "read-only")
    fault = cluster.inject(limit_files(process) if trouble == "full" else blocked)
    task = analyses.begin_by_code("shop.example")
    assert task is not None
    cluster.await_record(task, {"SUCCESS", "FAILURE"})
    cluster.await_log(worker.process, "WARNING", task.id)
    analyses.look(task)
    cluster.heal(fault)
    analyses.await_kept(task)
    cluster.note_logs()

    cluster.judge(trouble_survived(task.id), stores_agree(task.id))
