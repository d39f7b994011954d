"""STALE-16: the sweep command is as careful as the sweep at a worker's start."""

from dataclasses import replace

import pytest

from harness import (
    Cluster,
    Mode,
    cleanup_guarded,
    dead_tasks_closed,
    kill,
    live_tasks_untouched,
    sever,
    sweep_says,
    unchanged_between,
)


@pytest.mark.promise("STALE-16")
def test_without_the_broker(cluster: Cluster) -> None:
    """The command cannot reach the broker: it refuses, and `--force` closes what is dead all the same."""
    victim = cluster.worker("a")
    task = cluster.hold("a")
    cluster.inject(kill(victim.process))
    link = cluster.proxy_to_broker("command to broker")
    cluster.inject(sever(link, Mode.REFUSE))
    cluster.watch([task], cluster.timing.lease_s)

    cluster.run_command("sweep", link=link)
    cluster.record(task)
    cluster.run_command("sweep", "--force", link=link)
    cluster.record(task)
    cluster.worker("b")

    cluster.judge(cleanup_guarded(task.id, "--force"), dead_tasks_closed(cluster.timing.recovery_bound_s))


@pytest.mark.promise("STALE-16")
def test_force_does_not_replace_the_lease(cluster: Cluster) -> None:
    """A busy worker renews its lease; `--force` without a broker leaves its task alone."""
    cluster.worker("a")
    task = cluster.hold("a")
    link = cluster.proxy_to_broker("command to broker")
    cluster.inject(sever(link, Mode.REFUSE))

    cluster.watch([task], cluster.timing.lease_s)
    cluster.run_command("sweep", "--force", link=link)
    cluster.watch([task], cluster.timing.heartbeat_s)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched())


@pytest.mark.promise("STALE-16")
def test_force_does_not_replace_the_age(cluster: Cluster) -> None:
    """A dead worker's task is younger than the minimum age: `--force` without a broker leaves it alone until then."""
    patient = replace(cluster.timing, minimum_age_s=60.0)
    victim = cluster.worker("a")
    task = cluster.hold("a")
    link = cluster.proxy_to_broker("command to broker")
    cluster.inject(sever(link, Mode.REFUSE))
    cluster.inject(kill(victim.process))
    cluster.watch([task], cluster.timing.lease_s)

    cluster.note("young")
    cluster.run_command("sweep", "--force", link=link, timing=patient)
    cluster.record(task)
    cluster.note("still young")
    cluster.run_command("sweep", "--force", link=link)
    cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.worker("b")

    cluster.judge(
        unchanged_between(task.id, "young", "still young", "too-young"),
        dead_tasks_closed(cluster.timing.recovery_bound_s),
    )


@pytest.mark.promise("STALE-16")
def test_a_dry_run(cluster: Cluster) -> None:
    """`--dry-run` says what would be done about a dead worker's task, and does not do it."""
    victim = cluster.worker("a")
    task = cluster.hold("a")
    cluster.inject(kill(victim.process))

    cluster.watch([task], cluster.timing.lease_s)
    cluster.note("dry run begins")
    cluster.run_command("sweep", "--dry-run")
    cluster.record(task)
    cluster.note("dry run ended")
    cluster.run_command("sweep")
    cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.worker("b")

    cluster.judge(
        unchanged_between(task.id, "dry run begins", "dry run ended", "dry-run-changed"),
        sweep_says({task.id: ("dead", "silent")}, "--dry-run"),
        dead_tasks_closed(cluster.timing.recovery_bound_s),
    )
