"""STALE-06: silence alone is not death, and a lease that has run out alone is not either."""

import time
from dataclasses import replace

import pytest

from harness import (
    Cluster,
    Mode,
    dead_tasks_closed,
    freeze,
    garble_replies,
    kill,
    live_tasks_untouched,
    logged_once,
    pause,
    restart,
    sever,
    still_up,
    sweep_says,
    unchanged_between,
)


@pytest.mark.promise("STALE-06")
def test_a_busy_solo_worker(cluster: Cluster) -> None:
    """A solo worker answers nobody while it executes; its lease says that it lives."""
    cluster.worker("a", pool="solo")
    task = cluster.hold("a")

    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.run_command("sweep")
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched(), sweep_says({task.id: ("alive", "renewed")}))


@pytest.mark.promise("STALE-06")
def test_cut_off_from_postgres_only(cluster: Cluster) -> None:
    """A worker cannot renew its lease, and still answers through the broker: it is alive."""
    cluster.worker("b")
    running = cluster.worker("a", behind_proxy=True)
    task = cluster.hold("a")

    fault = cluster.inject(sever(running.postgres, Mode.REFUSE))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.run_command("sweep")
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched(), sweep_says({task.id: ("alive", "answers")}))


@pytest.mark.promise("STALE-06")
def test_cut_off_from_redis_only(cluster: Cluster) -> None:
    """A worker answers nobody through the broker, and still renews its lease: it is alive."""
    cluster.worker("b")
    running = cluster.worker("a", behind_proxy=True)
    task = cluster.hold("a")

    fault = cluster.inject(sever(running.broker, Mode.REFUSE))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.run_command("sweep")
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched(), sweep_says({task.id: ("alive", "renewed")}))


@pytest.mark.promise("STALE-06")
def test_a_broker_that_carries_nothing(cluster: Cluster) -> None:
    """A worker dies while the sweeper's own broker carries nothing: unknown, until the broker works again."""
    sweeper = cluster.worker("b", behind_proxy=True)
    victim = cluster.worker("a")
    task = cluster.hold("a")

    fault = cluster.inject(sever(sweeper.broker, Mode.HOLD))
    cluster.note("blind")
    cluster.inject(kill(victim.process))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.run_command("sweep", link=sweeper.broker)
    cluster.note("sees again")
    cluster.heal(fault)
    cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.note_logs()

    words = [victim.node, "unknown", "broker"]
    cluster.judge(
        unchanged_between(task.id, "blind", "sees again", "touched-while-unknown"),
        sweep_says({task.id: ("unknown", "broker")}),
        logged_once("the worker's own sweep", "WARNING", words, "worker-b", kind="unexplained"),
        dead_tasks_closed(cluster.timing.recovery_bound_s),
    )


@pytest.mark.promise("STALE-06")
def test_replies_that_make_no_sense(cluster: Cluster) -> None:
    """Somebody answers in the name of a dead worker, and says nonsense: that is silence, and hurts no living one."""
    cluster.worker("b")
    silent = cluster.worker("c", pool="solo")
    lives = cluster.hold("c")
    victim = cluster.worker("a")
    task = cluster.hold("a")

    cluster.inject(garble_replies(cluster.place().broker_url, victim.node), await_landing=False)
    cluster.inject(kill(victim.process))
    cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.watch([lives], cluster.timing.recovery_bound_s)
    lives.release()
    cluster.await_end(lives)
    cluster.inspect()

    cluster.judge(dead_tasks_closed(cluster.timing.recovery_bound_s), live_tasks_untouched(), still_up([silent.node]))


@pytest.mark.promise("STALE-06")
@pytest.mark.own_servers
@pytest.mark.parametrize(
    "how",
    [
        pytest.param("paused", marks=pytest.mark.containers),
        pytest.param("without its data", marks=pytest.mark.redis_broker),
    ],
)
def test_a_broker_that_is_away(cluster: Cluster, how: str) -> None:
    """A living worker's lease runs out while the broker is paused, or starts again without its data: unknown."""
    broker = cluster.servers.broker
    running = cluster.worker("a", behind_proxy=True)
    cluster.worker("b")
    task = cluster.hold("a")

    away = cluster.inject(pause(broker.process) if how == "paused" else restart(broker, lose_data=True))
    lease = cluster.inject(sever(running.postgres, Mode.REFUSE))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.run_command("sweep")
    cluster.heal(lease)
    before = cluster.record(task)
    cluster.await_record(task, lambda record: before is not None and record.last_heartbeat != before.last_heartbeat)
    cluster.heal(away)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched(), sweep_says({task.id: ("unknown", "broker")}))


@pytest.mark.promise("STALE-06")
@pytest.mark.own_servers
def test_the_database_is_away_for_longer_than_a_lease(cluster: Cluster) -> None:
    """Nobody can renew, and a busy solo worker answers nobody: when Postgres is back, its task is left alone."""
    cluster.worker("a", pool="solo")
    cluster.worker("b")
    task = cluster.hold("a")

    away = cluster.inject(restart(cluster.servers.postgres))
    back = time.monotonic() + 2 * cluster.timing.lease_s
    cluster.await_seen("the time at which every lease has run out", lambda: time.monotonic() > back or None)
    cluster.heal(away)
    cluster.reconnect()
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.run_command("sweep")
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched(), sweep_says({task.id: ("alive", "renewed")}))


@pytest.mark.promise("STALE-06")
@pytest.mark.parametrize("blindness", ["cut off", "paused"])
def test_a_sweeper_that_was_blind_itself(cluster: Cluster, blindness: str) -> None:
    """After a sweeper's own outage or pause every lease looks run out: none counts so for the length of a lease."""
    patient = replace(cluster.timing, lease_s=3.0)
    sweeper = cluster.worker("b", behind_proxy=True, timing=patient)
    victim = cluster.worker("a", timing=patient)
    task = cluster.hold("a")

    blind = sever(sweeper.postgres, Mode.REFUSE) if blindness == "cut off" else freeze(sweeper.process)
    fault = cluster.inject(blind)
    cluster.inject(kill(victim.process))
    cluster.watch([task], patient.lease_s + patient.heartbeat_s)
    cluster.note("sees again")
    cluster.heal(fault)
    cluster.watch([task], 0.9 * patient.lease_s)
    cluster.note("nearly a lease later")
    cluster.await_record(task, {"REVOKED", "FAILURE"})

    cluster.judge(
        unchanged_between(task.id, "sees again", "nearly a lease later", "closed-at-first-sight"),
        dead_tasks_closed(patient.recovery_bound_s),
    )
