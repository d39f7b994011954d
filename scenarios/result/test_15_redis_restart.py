"""RESULT-15: Redis restarts while somebody waits: the wait goes on, and the result is found."""

import pytest

from harness import Cluster, restart, results_given, waiting_told

SOON_S = 10.0


@pytest.mark.promise("RESULT-15")
@pytest.mark.own_servers
@pytest.mark.parametrize("lose_data", [False, True], ids=["with its data", "without its data"])
def test_during_the_wait(cluster: Cluster, lose_data: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """One task has returned, a command waits for another; Redis goes away and comes back; that one returns as well."""
    api = cluster.api()
    cluster.worker("a")
    before = cluster.publish("ok", queue="a")
    cluster.await_end(before)
    task = cluster.hold("a")
    finish = api.begin_command("wait", task)
    cluster.await_seen("the wait", lambda: cluster.processes[-1].running or None)

    outage = cluster.inject(restart(cluster.servers.redis, kill_it=True, lose_data=lose_data))
    cluster.watch([task], cluster.timing.recovery_bound_s)
    cluster.heal(outage)
    task.release()
    cluster.await_end(task)
    finish()
    for each in (before, task):
        api.ask("result", each)
        api.command("result", each)

    results = {before.id: "done", task.id: "released"}
    cluster.judge(waiting_told(task.id, within_s=SOON_S, by="wait"), results_given(results))
