"""STALE-12: a task that makes no progress at a living worker is told, and ended only if somebody asks for that."""

from dataclasses import replace

import pytest

from harness import Cluster, Task, Timing, ends_kept, live_tasks_untouched, logged_once, stuck_told

LIMIT_S = 1.0


def stand_still_and_advance(cluster: Cluster) -> tuple[Timing, Task, Task]:
    """One task that reports progress again and again, and one that reports none, for longer than the limit."""
    watchful = replace(cluster.timing, stuck_after_s=LIMIT_S)
    cluster.worker("a", concurrency=2, timing=watchful)
    still, advancing = cluster.hold("a"), cluster.hold("a", task="advance")
    cluster.watch([still, advancing], LIMIT_S + cluster.timing.recovery_bound_s)
    return watchful, still, advancing


@pytest.mark.promise("STALE-12")
def test_told_and_left_alone(cluster: Cluster) -> None:
    """The sweeps tell once which task is stuck, and touch neither."""
    watchful, still, advancing = stand_still_and_advance(cluster)
    cluster.run_command("sweep", timing=watchful)
    for task in (still, advancing):
        task.release()
        cluster.await_end(task)
    cluster.note_logs()

    cluster.judge(
        stuck_told(stuck=[still.id], moving=[advancing.id]),
        logged_once("the sweeps of the worker", "WARNING", [still.id, "stuck"], "worker-a", kind="stuck-untold"),
        live_tasks_untouched(),
        ends_kept({task.id: {"status": "SUCCESS"} for task in (still, advancing)}),
    )


@pytest.mark.promise("STALE-12")
def test_ended_where_asked_for(cluster: Cluster) -> None:
    """Asked to, the command has the worker end the task that is stuck, and only that."""
    watchful, still, advancing = stand_still_and_advance(cluster)
    cluster.run_command("sweep", "--revoke-stuck", timing=watchful)
    cluster.await_record(still, {"REVOKED"})
    advancing.release()
    cluster.await_end(advancing)

    cluster.judge(
        stuck_told(stuck=[still.id], moving=[advancing.id]),
        ends_kept({still.id: {"status": "REVOKED"}, advancing.id: {"status": "SUCCESS"}}),
    )
