"""STALE-23: Prometheus is told what all processes of a worker counted, and how many tasks are open."""

import pytest

from harness import (
    Cluster,
    Mode,
    closings_logged,
    errors_counted,
    kill,
    metrics_told,
    open_tasks_told,
    refuse_writes,
    sever,
    sweeps_counted,
)


@pytest.mark.promise("STALE-23")
def test_one_scrape_tells_of_every_process(cluster: Cluster) -> None:
    """Both children fail to record an end, tasks fail, tasks wait, and another worker dies with two of them."""
    worker = cluster.worker("a", concurrency=2, metrics=True)
    counted = dict.fromkeys(("tracking_errors", "stale_found", "revoked", "successes", "failures"), 0)
    cluster.scrape(worker, "before")

    for name in ("ok", "fail", "fail"):
        cluster.await_record(cluster.publish(name, queue="a"), {"SUCCESS", "FAILURE"})
    waiting = [cluster.publish("ok", queue="nobody") for _ in range(3)]
    in_each_child = [cluster.hold("a"), cluster.hold("a")]
    table = cluster.subject.tables["registry"]
    refusal = cluster.inject(refuse_writes(cluster.database_url, table, "NEW.status = 'SUCCESS'"), await_landing=False)
    for task in in_each_child:
        task.release()
        task.await_end()
        cluster.await_log(worker.process, "ERROR", task.id)
    cluster.heal(refusal)

    victim = cluster.worker("b", concurrency=2)
    lost, left = cluster.hold("b"), cluster.hold("b", task="hold_late")
    cluster.inject(kill(victim.process))
    cluster.await_record(lost, {"REVOKED"})
    cluster.await_record(left, {"RETRY"})
    for task in (*waiting, *in_each_child):
        cluster.record(task)
    truth = counted | {"stale_found": 2, "revoked": 1, "successes": 1, "failures": 2}
    truth.pop("tracking_errors")
    cluster.scrape(worker, "after", truth | {"tracking_errors": 2})
    cluster.await_log(worker.process, "sweep", "closed")
    cluster.note_logs("closed")

    cluster.judge(
        metrics_told("before", counted),
        metrics_told("after", truth),
        errors_counted("after", at_least=len(in_each_child)),
        open_tasks_told("after"),
        sweeps_counted(cluster.timing.sweep_interval_s),
        closings_logged(2),
    )


@pytest.mark.promise("STALE-23")
def test_open_tasks_that_cannot_be_counted(cluster: Cluster) -> None:
    """While the database holds its answers back, a scrape tells everything but the open tasks, and soon."""
    worker = cluster.worker("a", behind_proxy=True, metrics=True)
    cluster.hold("a")
    waiting = [cluster.publish("ok", queue="nobody") for _ in range(2)]
    for task in waiting:
        cluster.await_record(task, {"PENDING"})
    cluster.scrape(worker, "before")

    silence = cluster.inject(sever(worker.postgres, Mode.HOLD))
    cluster.scrape(worker, "meanwhile")
    cluster.heal(silence)
    cluster.scrape(worker, "afterwards", {"open_pending": len(waiting)})

    cluster.judge(
        open_tasks_told("before"),
        open_tasks_told("meanwhile", askable=False),
        metrics_told("meanwhile", {"stale_found": 0, "revoked": 0}),
        open_tasks_told("afterwards"),
    )
