"""STALE-44: a worker that is split from the database only is left alone."""

import pytest
from psycopg import sql

from harness import Cluster, Dropped, dead_tasks_closed, hold_rows, kill, live_tasks_untouched, split, sweep_says

SILENCE_S = 3.0
"""Within this Postgres may end the session of a silent peer: the kernel sends probes every second at the most."""
IN_THE_MIDDLE = """
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
    INTERSECT SELECT pid FROM pg_locks WHERE NOT granted
"""


@pytest.mark.containers
@pytest.mark.requires("sweep-command")
@pytest.mark.promise("STALE-44")
@pytest.mark.parametrize("how", list(Dropped))
def test_no_packet_to_the_database(cluster: Cluster, how: Dropped) -> None:
    """A worker's lease runs out, and it still answers through the broker."""
    cluster.worker("b")
    running = cluster.worker("a")
    task = cluster.hold("a")

    fault = cluster.inject(split(running.process, cluster.servers.postgres, how))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.run_command("sweep")
    cluster.heal(fault)
    task.release()
    cluster.await_end(task)

    cluster.judge(live_tasks_untouched(), sweep_says({task.id: ("alive", "answers")}))


@pytest.mark.containers
@pytest.mark.requires("registration-table")
@pytest.mark.promise("STALE-44")
def test_a_sweeper_is_split_off_in_the_middle(cluster: Cluster) -> None:
    """A worker is split from the database, and killed, while it sweeps: Postgres hears nothing of its end."""
    victim = cluster.worker("a")
    task = cluster.hold("a")
    table = cluster.subject.tables["registration"]
    lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table))

    held = cluster.inject(hold_rows(cluster.database_url, lock, table))
    cluster.await_seen("a sweep in the middle", lambda: cluster.query(IN_THE_MIDDLE) or None)
    cluster.inject(split(victim.process, cluster.servers.postgres, Dropped.SILENTLY), await_landing=False)
    cluster.heal(held)
    cluster.inject(kill(victim.process))
    cluster.worker("b")
    cluster.await_record(task, {"REVOKED", "FAILURE"})

    cluster.judge(dead_tasks_closed(cluster.timing.recovery_bound_s + SILENCE_S))
