"""RESULT-05: expired, unknown and pending are three different answers."""

from collections.abc import Callable

import pytest

from harness import Cluster, Expiry, Fault, answers_apart, evict, lose_keys

RESULT_S = 2.0
KNOWN_S = 3600.0


@pytest.mark.promise("RESULT-05")
def test_told_apart(cluster: Cluster) -> None:
    """One result expires, one is there, one task waits, one runs, and of one nobody has heard."""
    api = cluster.api()
    cluster.worker("a", expiry=Expiry(RESULT_S, KNOWN_S))
    expired = cluster.publish("ok", queue="a")
    cluster.await_end(expired)
    waiting = cluster.publish("ok", queue="nobody")
    running = cluster.hold("a")
    unknown = cluster.unpublished("ok")
    api.await_answer("result", expired, lambda status: status != 200)
    running.release()
    fresh = cluster.publish("ok", queue="a")
    cluster.await_end(fresh)

    for task in (expired, waiting, unknown, fresh):
        api.ask("result", task)
        api.ask("status", task)

    cluster.judge(
        answers_apart({expired.id: "expired", waiting.id: "pending", unknown.id: "unknown", fresh.id: "available"})
    )


@pytest.mark.promise("RESULT-05")
@pytest.mark.parametrize("loss", [lose_keys, pytest.param(evict, marks=pytest.mark.own_servers)])
def test_redis_has_lost_its_data(cluster: Cluster, loss: Callable[..., Fault]) -> None:
    """The result backend loses or evicts every result: all are told apart as before, and what is kept is given."""
    api = cluster.api()
    cluster.worker("a", expiry=Expiry(RESULT_S, KNOWN_S))
    cluster.worker("b")
    expired, kept = cluster.publish("ok", queue="a"), cluster.publish("ok", queue="b")
    cluster.await_end(expired)
    cluster.await_end(kept)
    waiting = cluster.publish("ok", queue="nobody")
    unknown = cluster.unpublished("ok")
    api.await_answer("result", expired, lambda status: status != 200)

    cluster.inject(loss(cluster.servers.redis, cluster.redis_database, "celery-task-meta-*"))
    for task in (expired, waiting, unknown, kept):
        api.ask("result", task)
        api.ask("status", task)

    cluster.judge(
        answers_apart({expired.id: "expired", waiting.id: "pending", unknown.id: "unknown", kept.id: "available"})
    )
