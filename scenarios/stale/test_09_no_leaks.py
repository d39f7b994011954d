"""STALE-09: hundreds of tracking failures leave no session, lock or connection behind."""

import pytest

from harness import (
    Cluster,
    Mode,
    hold_answer,
    kill,
    no_leaks,
    outcome_unharmed,
    refuse_writes,
    sever,
    terminate_connections,
)

ROUNDS = 60
LOST_ANSWERS = 20


@pytest.mark.promise("STALE-09")
def test_failures_before_in_and_after_the_commit(cluster: Cluster) -> None:
    """Writes fail at once, at the commit, and by losing their connection; everything is let go of."""
    cluster.worker("a", concurrency=2)
    table = cluster.subject.tables["registry"]
    warm = [cluster.publish("ok", queue="a") for _ in range(8)]
    for task in warm:
        cluster.await_end(task)
    cluster.note_sessions()

    tasks = []
    for deferred in (False, True):
        condition = "NEW.status IN ('STARTED', 'SUCCESS')"
        fault = cluster.inject(
            refuse_writes(cluster.database_url, table, condition, deferred=deferred), await_landing=False
        )
        tasks += [cluster.publish("ok", queue="a") for _ in range(ROUNDS)]
        cluster.result(tasks[-1])
        for task in tasks:
            task.await_end()
        cluster.await_landing(fault)
        cluster.heal(fault)
    for _ in range(5):
        cluster.inject(terminate_connections(cluster.database_url))
        tasks.append(cluster.publish("ok", queue="a"))
        tasks[-1].await_end()
        cluster.await_record(tasks[-1], {"SUCCESS"})
    cluster.result(tasks[-1])
    cluster.note_sessions()

    cluster.judge(no_leaks(), outcome_unharmed({tasks[-1].id: ("SUCCESS", "'done'")}))


@pytest.mark.promise("STALE-09")
def test_failures_of_publishers_retries_and_sweeps(cluster: Cluster) -> None:
    """What publishers, retries and sweeps write is refused, at once and at the commit; everything is let go of."""
    cluster.worker("b")
    victim = cluster.worker("a", concurrency=2)
    stale = cluster.hold("a")
    table = cluster.subject.tables["registry"]
    warm = [cluster.publish("retry_once", queue="b") for _ in range(8)]
    cluster.await_records(warm, {"SUCCESS"})
    cluster.note_sessions()

    cluster.inject(kill(victim.process))
    for deferred in (False, True):
        condition = "NEW.status IN ('PENDING', 'RETRY', 'REVOKED')"
        fault = cluster.inject(
            refuse_writes(cluster.database_url, table, condition, deferred=deferred), await_landing=False
        )
        tasks = [cluster.publish("retry_once", queue="b") for _ in range(ROUNDS // 2)]
        cluster.result(tasks[-1])
        cluster.await_landing(fault)
        cluster.watch([stale], cluster.timing.recovery_bound_s)
        cluster.heal(fault)
    cluster.await_record(stale, {"REVOKED"})
    last = cluster.publish("ok", queue="b")
    cluster.result(last)
    cluster.await_record(last, {"SUCCESS"})
    cluster.note_sessions()

    cluster.judge(
        no_leaks(),
        outcome_unharmed({tasks[-1].id: ("SUCCESS", "'retried'"), last.id: ("SUCCESS", "'done'")}),
    )


@pytest.mark.promise("STALE-09")
def test_failures_right_after_the_commit(cluster: Cluster) -> None:
    """The connection breaks when a commit is done and its answer under way; everything is let go of."""
    worker = cluster.worker("a", behind_proxy=True)
    assert worker.links is not None
    link = worker.links.postgres
    cluster.await_records([cluster.publish("ok", queue="a") for _ in range(8)], {"SUCCESS"})
    cluster.note_sessions()

    for _ in range(LOST_ANSWERS):
        answer = cluster.inject(hold_answer(link, "COMMIT"), await_landing=False)
        task = cluster.publish("ok", queue="a")
        cluster.await_landing(answer)
        cluster.heal(cluster.inject(sever(link, Mode.RESET)))
        cluster.heal(answer)
        cluster.await_record(task, {"SUCCESS"})
    cluster.result(task)
    cluster.note_sessions()

    cluster.judge(no_leaks(), outcome_unharmed({task.id: ("SUCCESS", "'done'")}))
