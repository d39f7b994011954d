"""STALE-25: each transition leaves from, to, when, who and why."""

import pytest

from harness import Cluster, audited, kill
from scenarios.stale.revocations import revoke_in_three_ways

PUBLISHED = (None, "PENDING", "client", "published")


@pytest.mark.promise("STALE-25")
def test_ordinary_lives(cluster: Cluster) -> None:
    """A success, a failure and a retry leave their whole way in the trail."""
    node = cluster.worker("a").node
    started = ("PENDING", "STARTED", node, "started")
    ways = {
        "ok": ("SUCCESS", [PUBLISHED, started, ("STARTED", "SUCCESS", node, "returned")]),
        "fail": ("FAILURE", [PUBLISHED, started, ("STARTED", "FAILURE", node, "ValueError")]),
        "retry_once": (
            "SUCCESS",
            [
                PUBLISHED,
                started,
                ("STARTED", "RETRY", node, "retry"),
                ("RETRY", "STARTED", node, "started"),
                ("STARTED", "SUCCESS", node, "returned"),
            ],
        ),
    }
    checks = []
    for name, (end, path) in ways.items():
        task = cluster.publish(name, queue="a")
        cluster.await_record(task, {end})
        cluster.audit(task)
        checks.append(audited(task.id, path))

    cluster.judge(*checks)


@pytest.mark.promise("STALE-25")
def test_revocations(cluster: Cluster) -> None:
    """Tasks expire, are revoked while they wait, and are terminated: the trail tells them apart."""
    worker = cluster.worker("a")
    revoked = revoke_in_three_ways(cluster, worker)
    for task in (revoked.expired, revoked.waiting, revoked.terminated):
        cluster.audit(task)

    node = worker.node
    cluster.judge(
        audited(revoked.expired.id, [PUBLISHED, ("PENDING", "REVOKED", node, "expired")]),
        audited(revoked.waiting.id, [PUBLISHED, ("PENDING", "REVOKED", node, "revoked")]),
        audited(
            revoked.terminated.id,
            [PUBLISHED, ("PENDING", "STARTED", node, "started"), ("STARTED", "REVOKED", node, "terminated")],
        ),
    )


@pytest.mark.promise("STALE-25")
def test_an_end_that_a_sweep_decides(cluster: Cluster) -> None:
    """The trail of a dead worker's task names the sweep that closed it, the worker that it was at, and why."""
    sweeper = cluster.worker("b")
    victim = cluster.worker("a")
    task = cluster.hold("a")
    cluster.inject(kill(victim.process))
    cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.audit(task)

    cluster.judge(
        audited(
            task.id,
            [
                PUBLISHED,
                ("PENDING", "STARTED", victim.node, "started"),
                ("STARTED", "REVOKED", f"sweep {sweeper.node}", f"{victim.node} dead"),
            ],
        )
    )


@pytest.mark.promise("STALE-25")
@pytest.mark.requires("sweep-command")
def test_an_end_that_a_command_decides(cluster: Cluster) -> None:
    """Nobody sweeps but a person: the trail names the command line."""
    victim = cluster.worker("a")
    task = cluster.hold("a")
    cluster.inject(kill(victim.process))
    cluster.watch([task], cluster.timing.lease_s)
    cluster.run_command("sweep")
    cluster.await_record(task, {"REVOKED", "FAILURE"})
    cluster.audit(task)

    started = ("PENDING", "STARTED", victim.node, "started")
    closed = ("STARTED", "REVOKED", "cli", f"{victim.node} dead")
    cluster.judge(audited(task.id, [PUBLISHED, started, closed]))
