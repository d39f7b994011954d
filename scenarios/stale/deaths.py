"""Deaths that several scenarios start from."""

from dataclasses import replace

from harness import Cluster, Task, kill


def die_with_unacknowledged_task(cluster: Cluster) -> Task:
    """A worker is killed while it executes a task that it acknowledges late; another one sweeps, and revokes.

    The task's mark is released afterwards: an execution that should not be would run to its end.
    """
    cluster.worker("b", timing=replace(cluster.timing, policy="revoke"))
    victim = cluster.worker("a")
    task = cluster.hold("a", task="hold_late")
    cluster.inject(kill(victim.process))
    task.release()
    return task
