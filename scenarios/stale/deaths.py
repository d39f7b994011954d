"""Deaths that several scenarios start from."""

from dataclasses import replace

from harness import Cluster, Task, kill

CELERY_LOOKS_AT_ITS_POOL_EVERY_S = 5.0
SECONDS = CELERY_LOOKS_AT_ITS_POOL_EVERY_S + 2.0
"""Within this, what a lost child takes along is known: its worker lives, and no sweep is needed."""


def die_with_unacknowledged_task(cluster: Cluster, task: str = "hold_late", *, policy: str = "revoke") -> Task:
    """A worker is killed while it executes a task that it acknowledges late; another one sweeps, and revokes it.

    The task's mark is released afterwards: an execution that should not be would run to its end.
    """
    cluster.worker("b", timing=replace(cluster.timing, policy=policy))
    victim = cluster.worker("a")
    held = cluster.hold("a", task=task)
    cluster.inject(kill(victim.process))
    held.release()
    return held
