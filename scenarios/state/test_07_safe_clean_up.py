"""STATE-07: a clean-up touches what is stale, and nothing that lives beside it."""

from dataclasses import replace

import pytest

from harness import Cluster, agent_belongs, agent_idle, dead_tasks_closed, kill, live_tasks_untouched, stale_named


@pytest.mark.promise("STATE-07")
def test_only_the_stale_are_touched(cluster: Cluster) -> None:
    """A run dies with its worker, another one lives on a worker that seldom sweeps: the check cleans up meanwhile."""
    first = cluster.worker("a")
    cluster.worker("b", timing=replace(cluster.timing, lease_s=30.0, sweep_interval_s=25.0))
    dead, lives = cluster.agent("dead"), cluster.agent("lives")
    stale = dead.work("a")
    running, held = lives.work("b"), cluster.publish("hold", queue="b")

    cluster.inject(kill(first.process))
    cluster.watch([stale], cluster.timing.lease_s)
    unknown = cluster.unpublished("work_as")
    dead.plant(unknown, progress=True)
    cluster.run_command("check", "--json")
    cluster.run_command("check", "--clean", "--json")
    cluster.await_record(stale, {"REVOKED"})
    dead.await_row(lambda seen: seen["row"] and not seen["row"]["is_running"] and set(seen["progress"]) == {running.id})
    lives.note()
    cluster.watch([running, held], cluster.timing.sweep_interval_s)
    for task in (running, held):
        task.release()
    cluster.await_end(running)
    cluster.await_end(held)

    cluster.judge(
        stale_named(("record-without-live-task", stale.id), ("progress-without-task", unknown.id), of=0),
        stale_named(of=1),
        dead_tasks_closed(60.0),
        agent_idle(dead.name, stale.id, error="died while executing it"),
        agent_belongs(lives.name, running.id, after=stale.id),
        live_tasks_untouched(),
    )
