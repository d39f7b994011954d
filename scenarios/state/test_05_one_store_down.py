"""STATE-05: when one store is away as a run ends, the others are cleaned up, and that one later, by nobody's help."""

import pytest

from harness import Cluster, agent_idle, cleaned_without, ends_kept, logged_once, restart


@pytest.mark.promise("STATE-05")
@pytest.mark.own_servers
def test_redis_away(cluster: Cluster) -> None:
    """Redis is away when a run ends: the row is idle all the same, the log tells of the gap, progress goes later."""
    worker = cluster.worker("a")
    agent = cluster.agent("planner")
    task = agent.work("a")

    fault = cluster.inject(restart(cluster.servers.redis))
    task.release()
    task.await_end()
    agent.await_row(lambda seen: seen["row"] and not seen["row"]["is_running"])
    cluster.heal(fault)
    agent.await_idle()

    cluster.note_logs("progress")
    cluster.judge(
        cleaned_without(agent.name, task.id, away="progress"),
        agent_idle(agent.name, task.id),
        logged_once("the gap", "WARNING", [agent.name, task.id, "left to"], worker.process.name, kind="gap-unlogged"),
    )


@pytest.mark.promise("STATE-05")
@pytest.mark.own_servers
def test_postgres_away(cluster: Cluster) -> None:
    """Postgres is away when a run ends: its progress goes all the same, and record and row tell of the end later."""
    worker = cluster.worker("a")
    agent = cluster.agent("planner")
    task = agent.work("a")

    fault = cluster.inject(restart(cluster.servers.postgres))
    task.release()
    task.await_end()
    agent.await_row(lambda seen: seen["progress"] == {})
    cluster.heal(fault)
    cluster.reconnect()
    cluster.await_record(task, {"SUCCESS"})
    agent.await_idle()

    cluster.note_logs("kept")
    cluster.judge(
        cleaned_without(agent.name, task.id, away="row"),
        agent_idle(agent.name, task.id),
        ends_kept({task.id: {"status": "SUCCESS"}}),
        logged_once("the gap", "ERROR", ["Progressed", task.id, "kept"], worker.process.name, kind="gap-unlogged"),
    )


@pytest.mark.promise("STATE-05")
@pytest.mark.own_servers
@pytest.mark.parametrize("store", ["redis", "postgres"])
def test_away_at_the_beginning(cluster: Cluster, store: str) -> None:
    """A store is away when a run begins, and back before it ends: the work is done, and all are idle in the end."""
    cluster.worker("a")
    agent = cluster.agent("planner")
    earlier = agent.work("a")
    earlier.release()
    cluster.await_end(earlier)
    waiting = cluster.publish("hold_then_work_as", agent.name, queue="a")
    waiting.await_mark()

    away = cluster.inject(restart(getattr(cluster.servers, store)))
    waiting.release()
    waiting.await_mark("at work")
    cluster.heal(away)
    cluster.reconnect()
    agent.await_row(lambda seen: seen["row"] and seen["row"]["current_task_id"] == waiting.id)
    waiting.release("at work")
    cluster.await_end(waiting)
    agent.await_idle()

    cluster.judge(ends_kept({waiting.id: {"status": "SUCCESS"}}), agent_idle(agent.name, waiting.id))
