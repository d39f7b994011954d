"""STALE-37: ends for which Celery has no signal of its own, or another one than expected, reach the record."""

import pytest

from harness import Cluster, ends_kept, executed, went_through


@pytest.mark.promise("STALE-37")
@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("reject", {"status": "FAILURE", "error_type": "Reject", "error_message": ("not this one",)}),
        ("reject_too_late", {"status": "FAILURE", "error_type": "Reject", "error_message": ("acks_late",)}),
        ("leave", {"status": "FAILURE", "error_type": "WorkerLostError", "error_message": ("exit",)}),
        ("unstorable", {"status": "FAILURE", "error_type": "EncodeError", "error_message": ("object",)}),
        ("unregistered", {"status": "FAILURE", "error_type": "NotRegistered", "error_message": ("unregistered",)}),
        ("ignore", {"status": "SUCCESS"}),
    ],
)
def test_the_record_ends(cluster: Cluster, name: str, end: dict[str, object]) -> None:
    """Rejected, also too late; ended with its process; of a result that cannot be stored; unregistered; ignored."""
    cluster.worker("a")
    task = cluster.publish(name, queue="a")
    cluster.await_record(task, {"FAILURE", "SUCCESS"})
    after = cluster.publish("ok", queue="a")
    cluster.await_end(after)
    cluster.record(task)

    reason = {"reason": (name,)} if name == "unregistered" else {}
    cluster.judge(ends_kept({task.id: {**end, **reason}, after.id: {"status": "SUCCESS"}}))


@pytest.mark.promise("STALE-37")
def test_rejected_for_another_try(cluster: Cluster) -> None:
    """The task gives its message back: it waits again, PENDING, and the next delivery is its second attempt."""
    cluster.worker("a")
    task = cluster.publish("reject_once", queue="a")
    task.await_mark()
    cluster.await_record(task, lambda record: record.attempts == 2)
    task.release()
    cluster.await_end(task)
    cluster.audit(task)

    cluster.judge(
        went_through(task.id, "PENDING", "STARTED", "PENDING", "STARTED", "SUCCESS"),
        executed(task.id, exactly=2),
        ends_kept({task.id: {"status": "SUCCESS", "attempts": 2}}),
    )


@pytest.mark.promise("STALE-37")
def test_never_begun(cluster: Cluster) -> None:
    """A task that is revoked while it waits for its eta, and one that expires: REVOKED, by whom and why."""
    worker = cluster.worker("a")
    waiting = cluster.publish("ok", queue="a", options={"countdown": cluster.timing.recovery_bound_s})
    cluster.await_log(worker.process, "received", waiting.id)
    cluster.revoke(waiting)
    expired = cluster.publish("ok", queue="a", options={"expires": -1})
    for task in (expired, waiting):
        cluster.await_record(task, {"REVOKED"})

    by = {"status": "REVOKED", "ended_by": worker.node}
    cluster.judge(
        ends_kept(
            {waiting.id: {**by, "error_message": ("revoked",)}, expired.id: {**by, "error_message": ("expired",)}}
        ),
        executed(waiting.id, exactly=0),
        executed(expired.id, exactly=0),
    )
