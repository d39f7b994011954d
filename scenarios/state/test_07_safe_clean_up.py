"""STATE-07: a clean-up touches what is stale, and nothing that lives beside it."""

from dataclasses import replace

import pytest

from harness import (
    Cluster,
    Mode,
    agent_belongs,
    agent_idle,
    dead_tasks_closed,
    kill,
    live_tasks_untouched,
    progress_kept,
    sever,
    stale_named,
)


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
    dead.plant_progress(unknown, like=stale)
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


@pytest.mark.promise("STATE-07")
def test_a_run_that_nobody_has_heard_of(cluster: Cluster) -> None:
    """A worker cannot reach Postgres, and answers: its run is in Redis only, where sweeps and the check leave it."""
    cluster.worker("b")
    cut_off = cluster.worker("a", behind_proxy=True)
    agent = cluster.agent("planner")

    fault = cluster.inject(sever(cut_off.postgres, Mode.REFUSE))
    task = cluster.publish("work_as", agent.name, queue="a")
    task.await_mark()
    agent.await_row(lambda seen: task.id in seen["progress"])
    bound_s = cluster.timing.recovery_bound_s
    cluster.watch([task], bound_s)
    cluster.run_command("check", "--clean", "--json")
    agent.look_again()
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)
    agent.await_idle()

    cluster.judge(progress_kept(agent.name, task.id, for_s=bound_s), agent_idle(agent.name, task.id))
