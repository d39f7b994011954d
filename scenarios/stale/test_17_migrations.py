"""STALE-17: the migrations make what the models say, and no row is lost on the way."""

import signal

import pytest

from harness import Cluster, schema_kept, shut_down

STEPS = 3
"""The newest migration may touch none of the tables that have rows."""


@pytest.mark.promise("STALE-17")
def test_back_and_forth_with_rows(cluster: Cluster) -> None:
    """Tasks of several kinds are recorded; the schema goes some steps back, and up again."""
    worker = cluster.worker("a")
    for name in ("ok", "fail", "retry_once"):
        task = cluster.publish(name, queue="a")
        cluster.await_record(task, {"SUCCESS", "FAILURE"})
    cluster.inject(shut_down(worker.process, signal.SIGTERM))

    cluster.run_command("compare")
    cluster.note_rows()
    for _ in range(STEPS):
        cluster.run_command("step-back")
    cluster.note_rows()
    cluster.run_command("prepare")
    cluster.note_rows()
    cluster.run_command("compare")

    cluster.judge(schema_kept())
