"""STALE-20: while the database is away tasks run on; when it is back, the records become true again."""

import signal

import pytest

from harness import (
    Cluster,
    Fault,
    Record,
    Task,
    dead_tasks_closed,
    ends_kept,
    exhaust_connections,
    failures_told,
    freeze,
    kill,
    logged_once,
    occupy,
    restart,
    shut_down,
    times_true,
    work_went_on,
)

COUNT = 40
SUCCEEDED = {"status": "SUCCESS"}
TOLERANCE_S = 1.0
"""By so much the harness may see later what happened, on a loaded machine."""


def is_whole(record: Record) -> bool:
    """Whether publisher and worker have both told what they had to tell."""
    return record.status == "SUCCESS" and record.queued_at is not None


def outage(cluster: Cluster, kind: str) -> Fault:
    """The database is stopped, is killed, stands still, or has no connection left."""
    postgres = cluster.servers.postgres
    match kind:
        case "stopped":
            return restart(postgres)
        case "killed":
            return restart(postgres, kill_it=True)
        case "frozen":
            return freeze(postgres.process)
        case _:
            return exhaust_connections(cluster.database_url)


def run_many(cluster: Cluster) -> list[Task]:
    """Publish tasks one after the other, and wait until all are executed."""
    tasks = [cluster.publish("ok", queue="a") for _ in range(COUNT)]
    for task in tasks:
        task.await_end()
    return tasks


@pytest.mark.promise("STALE-20")
@pytest.mark.own_servers
@pytest.mark.parametrize("kind", ["stopped", "killed", "frozen", "out of connections"])
def test_work_goes_on(cluster: Cluster, kind: str) -> None:
    """Tasks are published and executed at nearly full speed meanwhile, and one goes on that had begun before."""
    worker = cluster.worker("a", concurrency=2)
    begun = cluster.hold("a")
    before = run_many(cluster)

    away = cluster.inject(outage(cluster, kind))
    tasks = run_many(cluster)
    begun.release()
    begun.await_end()
    cluster.heal(away)
    cluster.reconnect()
    cluster.await_records([begun, *tasks], is_whole)
    cluster.note_logs()

    # Who waited for each write would wait twice as long for his publications alone.
    half_of_the_waiting_s = cluster.subject.limits["write_timeout_s"] * COUNT / 2
    ids = [task.id for task in tasks]
    cluster.judge(
        work_went_on(ids, [task.id for task in before], half_of_the_waiting_s),
        failures_told(dict.fromkeys(ids, ("client", worker.process.name))),
        ends_kept(dict.fromkeys([begun.id, *ids], SUCCEEDED)),
        times_true(ids, TOLERANCE_S),
    )


@pytest.mark.promise("STALE-20")
@pytest.mark.own_servers
def test_worker_and_publisher_die_meanwhile(cluster: Cluster) -> None:
    """What the killed had to tell is told by others, when the database is back."""
    publisher = cluster.client("publisher")
    worker = cluster.worker("a", concurrency=2)
    before = cluster.hold("a")

    away = cluster.inject(restart(cluster.servers.postgres, kill_it=True))
    done = [cluster.publish("ok", queue="a", client=publisher) for _ in range(5)]
    for task in done:
        task.await_end()
    last = cluster.publish("hold", queue="a", client=publisher)
    last.await_mark()
    before.release()
    before.await_end()
    after = cluster.publish("ok", queue="a", client=publisher)
    after.await_end()
    waiting = cluster.publish("ok", queue="b", client=publisher)
    cluster.inject(kill(worker.process))
    cluster.inject(kill(publisher.process))
    cluster.heal(away)
    cluster.reconnect()
    cluster.worker("b")
    waiting.await_end()
    cluster.await_record(last, {"REVOKED"})
    cluster.await_records([before, *done, after, waiting], is_whole)
    cluster.note_logs()

    ended = {task.id: SUCCEEDED for task in (before, *done, after, waiting)}
    cluster.judge(
        ends_kept({**ended, last.id: {"status": "REVOKED"}}),
        dead_tasks_closed(cluster.timing.recovery_bound_s + cluster.timing.lease_s),
        times_true([task.id for task in (*done, after, waiting)], TOLERANCE_S),
    )


@pytest.mark.promise("STALE-20")
@pytest.mark.own_servers
def test_what_cannot_be_kept_is_counted(cluster: Cluster) -> None:
    """The directory for what waits cannot be used: each failure says so, and who ends meanwhile counts what is lost."""
    worker = cluster.worker("a")
    cluster.inject(occupy(cluster.state))
    cluster.await_end(cluster.publish("ok", queue="a"))

    away = cluster.inject(restart(cluster.servers.postgres, kill_it=True))
    tasks = [cluster.publish("ok", queue="a") for _ in range(3)]
    for task in tasks:
        task.await_end()
    cluster.inject(shut_down(worker.process, signal.SIGTERM))
    cluster.heal(away)
    cluster.reconnect()
    for task in tasks:
        cluster.record(task)
    cluster.note_logs()

    cluster.judge(
        failures_told({task.id: ("client", worker.process.name) for task in tasks}),
        logged_once(
            "the child's reports", "ERROR", ["6 reports", "not written"], worker.process.name, kind="uncounted"
        ),
    )
