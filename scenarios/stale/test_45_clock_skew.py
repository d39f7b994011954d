"""STALE-45: a worker whose clock is off neither closes what lives nor tells untrue times."""

from dataclasses import replace

import pytest

from harness import Cluster, dead_tasks_closed, kill, live_tasks_untouched, skew_clock, times_true

HOUR_S = 3600.0
_SELDOM_S = 120.0


@pytest.mark.containers
@pytest.mark.promise("STALE-45")
@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S], ids=["ahead", "behind"])
def test_the_sweepers_clock_is_off(cluster: Cluster, ahead_s: float) -> None:
    """A sweeper's clock is off; of two workers that answer nobody, the busy one is alive and the killed one dead."""
    # Nobody else sweeps while the busy one is watched: another's passes might keep the sweeper from its turn for as
    # long as they keep in step.
    seldom = replace(cluster.timing, lease_s=_SELDOM_S + 1.0, sweep_interval_s=_SELDOM_S)
    sweeper = cluster.worker("b", own_clock=True)
    cluster.worker("a", pool="solo", timing=seldom)
    busy = cluster.hold("a")

    cluster.inject(skew_clock(sweeper.process, ahead_s))
    cluster.watch([busy], 2 * cluster.timing.recovery_bound_s)  # a clock that steps may cost a sweep its first call
    victim = cluster.worker("c")
    lost = cluster.hold("c")
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
