"""STATE-10: the health endpoint tells of each store whether it answers, and is not well while something is stale."""

import pytest

from harness import Cluster, health_told, kill, restart


@pytest.mark.promise("STATE-10")
def test_something_is_stale(cluster: Cluster) -> None:
    """All is well while a run lasts; its worker dies, and nobody sweeps: 200, and then not, with what is stale."""
    api = cluster.api()
    worker = cluster.worker("a")
    agent = cluster.agent("planner")
    agent.work("a")

    api.ask("health")
    cluster.inject(kill(worker.process))
    api.await_health(lambda answer: answer["status"] != 200)

    cluster.judge(
        health_told(
            api.process.name,
            well=False,
            stale=["record-without-live-task"],
            stores={"database": True, "progress": True},
        )
    )


@pytest.mark.promise("STATE-10")
@pytest.mark.own_servers
@pytest.mark.parametrize(("store", "named", "well"), [("redis", "progress", True), ("postgres", "database", False)])
def test_a_store_is_away(cluster: Cluster, store: str, named: str, well: bool) -> None:  # noqa: FBT001 - a parameter
    """A store goes away: the endpoint answers all the same, and says which one does not."""
    api = cluster.api()
    cluster.worker("a")
    agent = cluster.agent("planner")
    task = agent.work("a")

    api.ask("health")
    cluster.inject(restart(getattr(cluster.servers, store)))
    api.await_health(lambda answer: (answer["body"] or {}).get(named) is False)
    task.release()
    task.await_end()

    cluster.judge(health_told(api.process.name, well=well, stores={named: False}))
