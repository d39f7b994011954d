"""Revocations that several scenarios look at."""

from dataclasses import dataclass

from harness import Cluster, Task, Worker


@dataclass(frozen=True)
class Revoked:
    """One task for each way."""

    expired: Task
    waiting: Task
    terminated: Task


def revoke_in_three_ways(cluster: Cluster, worker: Worker) -> Revoked:
    """A task expires before it runs, one is revoked while it waits, and one is terminated in its work.

    The worker executes one task at a time, of the queue `a`.
    """
    expired = cluster.publish("ok", queue="a", options={"expires": -1})
    cluster.await_record(expired, {"REVOKED"})
    ahead = cluster.hold("a")
    waiting = cluster.publish("ok", queue="a")
    cluster.await_log(worker.process, "received", waiting.id)
    cluster.revoke(waiting)
    cluster.await_log(worker.process, "flagged as revoked", waiting.id)
    ahead.release()
    cluster.await_record(waiting, {"REVOKED"})
    terminated = cluster.hold("a")
    cluster.revoke(terminated, terminate=True)
    cluster.await_record(terminated, {"REVOKED"})
    return Revoked(expired, waiting, terminated)
