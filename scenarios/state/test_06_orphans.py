"""STATE-06: whatever tells of a run that is none is found, and named for what it is."""

import pytest

from harness import Cluster, kill, stale_named


@pytest.mark.promise("STATE-06")
def test_each_orphan_is_named(cluster: Cluster) -> None:
    """A worker died with its task, an agent runs by a task that ended, another by none, and there is progress of none.

    Nobody sweeps.
    """
    worker = cluster.worker("a")
    ended, lost, dead = (cluster.agent(name) for name in ("ended", "lost", "dead"))
    over = ended.work("a")
    over.release()
    cluster.await_end(over)
    gone = lost.work("a")
    gone.release()
    cluster.await_end(gone)
    lost.await_idle()
    open_task = dead.work("a")

    cluster.inject(kill(worker.process))
    cluster.watch([open_task], cluster.timing.lease_s)
    missing, unknown = cluster.unpublished("work_as"), cluster.unpublished("work_as")
    ended.plant(over)
    lost.plant(missing)
    dead.plant_progress(unknown, like=open_task)
    cluster.run_command("check", "--json")

    cluster.judge(
        stale_named(
            ("record-without-live-task", open_task.id),
            ("running-without-task", over.id),
            ("points-at-nothing", missing.id),
            ("progress-without-task", unknown.id),
        )
    )
