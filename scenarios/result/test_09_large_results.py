"""RESULT-09: a large result is kept by reference, and streamed."""

import hashlib
import json

import pytest

from harness import Cluster, ends_kept, large_streamed, results_given

SIZE = 48_000_000
SPARE_BYTES = 24_000_000
CLOSE_TO_THE_LIMIT = 900_000


@pytest.mark.promise("RESULT-09")
def test_streamed(cluster: Cluster) -> None:
    """A task returns 48 MB; worker and API hold no copy of it, the result backend has none, and nothing is missing."""
    api = cluster.api()
    worker = cluster.worker("a")
    before = cluster.publish("fill", SIZE, queue="a", options={"ignore_result": True})
    cluster.await_end(before)
    cluster.note_memory(worker.process)
    api.ask("health")
    cluster.note_memory(api.process)

    task = cluster.publish("fill", SIZE, queue="a")
    cluster.await_end(task)
    api.ask("result", task)
    cluster.note_memory(worker.process)
    cluster.note_memory(api.process)
    cluster.note_stored(task)

    text = json.dumps("x" * SIZE).encode()
    cluster.judge(
        ends_kept({task.id: {"status": "SUCCESS"}}),
        large_streamed(
            task.id,
            size=len(text),
            sha256=hashlib.sha256(text).hexdigest(),
            inline_bytes=int(cluster.subject.limits["result_inline_bytes"]),
            memory_bytes=SPARE_BYTES,
        ),
    )


@pytest.mark.promise("RESULT-09")
def test_whoever_waits(cluster: Cluster) -> None:
    """Who calls `.get()` gets a large result like any other, and so does the command line."""
    api = cluster.api()
    cluster.worker("a")
    inline = int(cluster.subject.limits["result_inline_bytes"])
    large = cluster.publish("fill", 2 * inline, queue="a")
    small = cluster.publish("fill", CLOSE_TO_THE_LIMIT, queue="a")
    for task in (large, small):
        cluster.await_end(task)
        api.command("result", task)

    cluster.judge(
        results_given({large.id: "x" * (2 * inline), small.id: "x" * CLOSE_TO_THE_LIMIT}, surfaces=["cli"]),
    )
