"""STALE-45: a worker whose clock is off neither closes what lives nor tells untrue times."""

import pytest

from harness import Cluster, dead_tasks_closed, kill, live_tasks_untouched, skew_clock, times_true

HOUR_S = 3600.0


@pytest.mark.containers
@pytest.mark.promise("STALE-45")
@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S], ids=["ahead", "behind"])
def test_the_sweepers_clock_is_off(cluster: Cluster, ahead_s: float) -> None:
    """A sweeper's clock is off; of two workers that answer nobody, the busy one is alive and the killed one dead."""
    sweeper = cluster.worker("b", own_clock=True)
    cluster.worker("a", pool="solo")
    victim = cluster.worker("c")
    busy, lost = cluster.hold("a"), cluster.hold("c")

    cluster.inject(skew_clock(sweeper.process, ahead_s))
    cluster.watch([busy], 2 * cluster.timing.recovery_bound_s)  # a clock that steps may cost a sweep its first call
    cluster.inject(kill(victim.process))
    cluster.await_record(lost, {"REVOKED", "FAILURE"})
    busy.release()
    cluster.await_end(busy)

    cluster.judge(live_tasks_untouched(), dead_tasks_closed(cluster.timing.recovery_bound_s))


@pytest.mark.containers
@pytest.mark.promise("STALE-45")
@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S], ids=["ahead", "behind"])
def test_the_clock_steps_while_a_task_runs(cluster: Cluster, ahead_s: float) -> None:
    """A worker's clock steps by an hour while it executes; its tasks tell the database's times, in order."""
    worker = cluster.worker("a", own_clock=True, concurrency=2)
    across = cluster.hold("a")

    cluster.inject(skew_clock(worker.process, ahead_s))
    after = cluster.hold("a")
    for task in (across, after):
        task.release()
        cluster.await_end(task)
        cluster.audit(task)
    cluster.note_logs()

    cluster.judge(times_true([across.id, after.id], tolerance_s=1.0), live_tasks_untouched())
