"""STALE-14: six statuses, and no seventh."""

import psycopg
import pytest
from psycopg import sql

from harness import Cluster, kill, statuses_of_six

FOREIGN = "PROGRESS"


def rewrite(cluster: Cluster, status: str) -> None:
    """Write a status over that of a planted record, and note whether the database took it."""
    planted = cluster.unpublished("hold")
    cluster.plant(planted, status="PENDING", name="conformance.hold")
    table = sql.Identifier(cluster.subject.tables["registry"])
    words = (table, sql.Literal(status), sql.Literal(planted.id))
    statement = sql.SQL("UPDATE {} SET status = {} WHERE task_id = {}").format(*words)
    with psycopg.connect(cluster.database_url, autocommit=True) as connection:
        try:
            taken = connection.execute(statement).rowcount
        except psycopg.errors.IntegrityError:
            taken = 0
    cluster.note("rewrite", task=planted, status=status, accepted=bool(taken))


@pytest.mark.promise("STALE-14")
def test_every_path_speaks_one_vocabulary(cluster: Cluster) -> None:
    """Tasks succeed, fail, retry, report progress, expire, overrun and are terminated; a seventh status is refused."""
    cluster.worker("a")
    plans = {"ok": "SUCCESS", "fail": "FAILURE", "retry_once": "SUCCESS", "progress": "SUCCESS"}
    for name, end in plans.items():
        cluster.await_record(cluster.publish(name, queue="a"), {end})
    cluster.await_record(cluster.publish("ok", queue="a", options={"expires": -1}), {"REVOKED"})
    cluster.await_record(cluster.publish("hold", queue="a", options={"soft_time_limit": 1}), {"FAILURE"})
    terminated = cluster.hold("a")
    cluster.revoke(terminated, terminate=True)
    cluster.await_record(terminated, {"REVOKED"})

    cluster.plant(cluster.unpublished("hold"), status=FOREIGN, name="conformance.hold")
    rewrite(cluster, FOREIGN)

    cluster.judge(statuses_of_six(FOREIGN))


@pytest.mark.promise("STALE-14")
def test_a_sweep_speaks_it_too(cluster: Cluster) -> None:
    """A task dies with its worker; whatever a sweep makes of it has one of the six for a name."""
    cluster.worker("b")
    victim = cluster.worker("a")
    task = cluster.hold("a")
    cluster.inject(kill(victim.process))
    cluster.await_record(task, lambda record: record.status != "STARTED")

    cluster.plant(cluster.unpublished("hold"), status=FOREIGN, name="conformance.hold")
    rewrite(cluster, FOREIGN)

    cluster.judge(statuses_of_six(FOREIGN))
