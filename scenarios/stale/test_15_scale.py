"""STALE-15: a sweep reads the open records, however many others there are."""

import pytest

from harness import Cluster, dead_tasks_closed, kill, reads_only_open

RECORDS = 1_000_000
FILL = """
    INSERT INTO {table} (task_id, status, worker_id)
    SELECT 'ended ' || n, (ARRAY['SUCCESS', 'FAILURE', 'REVOKED'])[1 + n % 3], 'celery@' || n % 100
    FROM generate_series(1, {count}) n
"""


@pytest.mark.promise("STALE-15")
def test_a_million_ended_records(cluster: Cluster) -> None:
    """A million tasks have ended, one runs, one has lost its worker: sweeps look these two up in an index."""
    table = cluster.subject.tables["registry"]
    cluster.query(FILL.format(table=table, count=RECORDS))
    cluster.query(f"ANALYZE {table}")
    cluster.note_reads()

    cluster.worker("b")
    victim = cluster.worker("a")
    live, dead = cluster.hold("b"), cluster.hold("a")
    cluster.inject(kill(victim.process))
    cluster.await_record(dead, {"REVOKED"})
    cluster.run_command("sweep")
    cluster.watch([live], cluster.timing.recovery_bound_s)  # the database counts what a session read within a second
    cluster.note_reads()

    cluster.judge(reads_only_open(RECORDS, "status", "worker_id"), dead_tasks_closed(cluster.timing.recovery_bound_s))
