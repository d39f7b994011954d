"""STALE-31: a worker that is told to stop leaves nothing STARTED."""

import signal

import pytest

from harness import Cluster, ended_once, ends_kept, executed, outcome_unharmed, shut_down


@pytest.mark.promise("STALE-31")
def test_warm(cluster: Cluster) -> None:
    """SIGTERM: the worker finishes what it executes, and the record says so."""
    worker = cluster.worker("a")
    task = cluster.hold("a")

    fault = cluster.inject(shut_down(worker.process, signal.SIGTERM), await_landing=False)
    cluster.await_log(worker.process, "Warm shutdown")
    task.release()
    cluster.await_landing(fault)
    cluster.await_record(task, {"SUCCESS"})

    cluster.judge(executed(task.id, exactly=1), ends_kept({task.id: {"status": "SUCCESS", "result": "released"}}))


@pytest.mark.promise("STALE-31")
@pytest.mark.requires("audit")
@pytest.mark.parametrize("patience_s", [None, "1.0"], ids=["cold", "soft"])
def test_cold_and_soft(cluster: Cluster, patience_s: str | None) -> None:
    """SIGQUIT, at once or with patience: what still ends is recorded, what does not is closed or runs elsewhere."""
    soft = {"CELERY_CONFORMANCE_SOFT_SHUTDOWN_S": patience_s} if patience_s else {}
    worker = cluster.worker("a", concurrency=3, environment=soft)
    early, late, quick = cluster.hold("a"), cluster.hold("a", task="hold_late"), cluster.hold("a")
    cluster.worker("b", queues=["a"])

    if not patience_s:
        quick.release()
        cluster.await_end(quick)
    fault = cluster.inject(shut_down(worker.process, signal.SIGQUIT), await_landing=False)
    if patience_s:
        cluster.await_log(worker.process, "Soft Shutdown")
        quick.release()
    cluster.await_landing(fault)
    cluster.await_record(early, {"REVOKED", "FAILURE"})
    cluster.result(early)
    late.await_mark(count=2)
    late.release()
    for task in (late, quick):
        cluster.await_end(task)

    tasks = {early: 1, late: 2, quick: 1}
    for task in tasks:
        cluster.audit(task)
    ended = {"status": "SUCCESS"}
    cluster.judge(
        ended_once([task.id for task in tasks]),
        outcome_unharmed({early.id: ("REVOKED", None)}),
        *(executed(task.id, exactly=times) for task, times in tasks.items()),
        ends_kept({early.id: {"status": "REVOKED"}, late.id: ended, quick.id: ended}),
    )
