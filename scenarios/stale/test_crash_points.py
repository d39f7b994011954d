"""STALE-19, 20, 29 and 34: wherever on a task's way a process or a connection dies, it is not lost to tracking.

The way is publish, broker, receive, prerun write, start, effect, result stored, success write, acknowledge. A scenario
brings tasks to one of these steps, acknowledged when they begin and when they end (`acks_late`), and kills there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from psycopg import sql

from harness import (
    Client,
    Cluster,
    Fault,
    Mode,
    Task,
    Worker,
    accounted_for,
    ended_once,
    ends_kept,
    executed,
    expire_visibility,
    freeze,
    hold_rows,
    kill,
    occupy,
    outcome_unharmed,
    sever,
    went_through,
)
from scenarios.stale.deaths import SECONDS

pytestmark = pytest.mark.requires("audit", "publication", "policies")

MARKS = ("acknowledging", "working", "result stored", "success told")


@dataclass(frozen=True)
class Fate:
    """What becomes of a task: the way of its record, its executions, whether its message comes back, and as what.

    `on_either_way` is for a record that may begin with what is known second. `rests_at` is where the record stands
    until the message comes back, and `told` what its caller gets.
    """

    way: tuple[str, ...]
    rests_at: str
    executions: int = 1
    comes_back: bool = False
    told: str | None = None
    on_either_way: bool = False

    @property
    def end(self) -> str:
        """The status that it comes to stand at."""
        return self.way[-1]


RUN_ONCE = Fate(("PENDING", "STARTED", "SUCCESS"), "SUCCESS")
RUN_LATER = Fate(("PENDING", "STARTED", "SUCCESS"), "PENDING", comes_back=True)
RUN_AGAIN = Fate(("PENDING", "STARTED", "SUCCESS"), "PENDING", executions=2, comes_back=True)
ENDED_BEFORE = Fate(("PENDING", "STARTED", "SUCCESS"), "SUCCESS", executions=2, comes_back=True)
CLOSED = Fate(("PENDING", "STARTED", "REVOKED"), "REVOKED")
REDELIVERED = Fate(("PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"), "RETRY", executions=2, comes_back=True)
LOST = Fate(("PENDING", "FAILURE"), "FAILURE")


def pass_marks(task: Task) -> None:
    """Nothing holds the task any more."""
    for mark in MARKS:
        task.release(mark)


def lock(cluster: Cluster, query: sql.Composed, what: str) -> Fault:
    """Hold a lock that nobody waits for yet."""
    return cluster.inject(hold_rows(cluster.database_url, query, what), await_landing=False)


def lock_records(cluster: Cluster, *tasks: Task) -> Fault:
    """Nobody can write to the records of these tasks."""
    table = sql.Identifier(cluster.subject.tables["registry"])
    ids = sql.SQL(", ").join(sql.Literal(task.id) for task in tasks)
    return lock(cluster, sql.SQL("SELECT 1 FROM {} WHERE task_id IN ({}) FOR UPDATE").format(table, ids), "the records")


def lock_table(cluster: Cluster, role: str) -> Fault:
    """Nobody can write to this table."""
    table = sql.Identifier(cluster.subject.tables[role])
    return lock(cluster, sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table), f"the table {role}")


def delay_commit(cluster: Cluster, status: str) -> Fault:
    """The commit that brings a record to this status waits for a lock that is held."""
    table = cluster.subject.tables["registry"]
    cluster.query(
        "CREATE FUNCTION conformance_wait() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock(19); RETURN NULL; END $$"
    )
    cluster.query(
        f"CREATE CONSTRAINT TRIGGER conformance_wait AFTER UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW WHEN (NEW.status = '{status}' AND OLD.status <> NEW.status) EXECUTE FUNCTION conformance_wait()"
    )
    return lock(cluster, sql.SQL("SELECT pg_advisory_xact_lock({})").format(sql.Literal(19)), "the commit")


@dataclass(frozen=True)
class Arranged:
    """A worker with its tasks at one step, what has to become of them, and the lock that keeps them there."""

    victim: Worker
    fates: dict[Task, Fate]
    held: Fault | None = None


def publish(cluster: Cluster, name: str, client: Client | None = None) -> Task:
    """Publish a task of this name, and see that its record says so."""
    task = cluster.publish(name, queue="a", client=client)
    cluster.await_record(task, {"PENDING"})
    return task


def publish_both(cluster: Cluster) -> tuple[Task, Task]:
    """A task that is acknowledged when it begins, and one that is when it ends."""
    return publish(cluster, "step"), publish(cluster, "step_late")


def await_execution(cluster: Cluster, *tasks: Task) -> None:
    """Wait until these tasks are in the middle of their work, and their records say so."""
    for task in tasks:
        task.await_mark()
        cluster.await_record(task, {"STARTED"})


def run_what_comes_back(cluster: Cluster, fates: dict[Task, Fate]) -> None:
    """Once dead executions are closed, another worker gets what nobody has acknowledged, and is done with it."""
    for task, fate in fates.items():
        pass_marks(task)
        cluster.await_record(task, {fate.rests_at}, within_s=cluster.timing.recovery_bound_s)
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    third = cluster.worker("c", queues=["a"])
    for task, fate in fates.items():
        if fate.comes_back:
            cluster.await_delivered(task, third)


def judge(cluster: Cluster, fates: dict[Task, Fate], bound_s: float | None = None) -> None:
    """Wait for the ends, and hold them against what has to become of the tasks."""
    for task, fate in fates.items():
        cluster.await_record(task, {fate.end})
        cluster.result(task)
        cluster.audit(task)

    ids = [task.id for task in fates]
    cluster.judge(
        accounted_for(ids, bound_s or cluster.timing.recovery_bound_s),
        ended_once(ids),
        ends_kept({task.id: {"status": fate.end} for task, fate in fates.items()}),
        outcome_unharmed({task.id: (fate.told or fate.end, None) for task, fate in fates.items()}),
        *(went_through(task.id, *fate.way) for task, fate in fates.items() if not fate.on_either_way),
        *(executed(task.id, exactly=fate.executions) for task, fate in fates.items()),
    )


# -- publish -----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("STALE-19")
def test_the_publisher_dies(cluster: Cluster) -> None:
    """Its messages have gone out, its records wait for a lock, and nothing is kept: what the workers say makes up."""
    cluster.worker("b")
    cluster.inject(occupy(cluster.state))
    publisher = cluster.client("publisher")
    before = publish(cluster, "ok", publisher)
    held = lock_table(cluster, "registry")
    early, late = (cluster.publish(name, queue="a", client=publisher) for name in ("step", "step_late"))
    cluster.await_landing(held)
    cluster.inject(kill(publisher.process))
    cluster.heal(held)
    for task in (early, late):
        pass_marks(task)
    cluster.worker("a")

    # The database may carry out a statement whose client is dead, once the lock is gone.
    told_by_workers = replace(RUN_ONCE, on_either_way=True)
    judge(cluster, {before: RUN_ONCE, early: told_by_workers, late: told_by_workers})


# -- broker, receive ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("STALE-19")
@pytest.mark.redis_broker
@pytest.mark.parametrize("pool", ["solo", "prefork"], ids=["in the broker", "received"])
def test_the_worker_dies_with_messages_waiting(cluster: Cluster, pool: str) -> None:
    """They wait behind a task, in the broker or in the worker's memory: another worker executes each of them once."""
    cluster.worker("b")
    ahead = publish(cluster, "step_late")
    victim = cluster.worker("a", pool=pool)  # a solo pool takes no message while it executes one
    await_execution(cluster, ahead)
    early, late = publish_both(cluster)
    if pool == "prefork":
        for task in (early, late):
            cluster.await_log(victim.process, "received", task.id)
    cluster.inject(kill(victim.process))
    fates = {ahead: REDELIVERED, early: RUN_LATER, late: RUN_LATER}
    run_what_comes_back(cluster, fates)

    judge(cluster, fates)


# -- prerun write to acknowledge ---------------------------------------------------------------------------------------


def held_at_the_start(cluster: Cluster, lock: Callable[[Task, Task], Fault]) -> Arranged:
    """Both tasks execute, and what tells of their starts waits for a lock."""
    early, late = publish_both(cluster)
    held = lock(early, late)
    victim = cluster.worker("a", concurrency=2)
    for task in (early, late):
        task.await_mark()
    return Arranged(victim, {early: CLOSED, late: REDELIVERED}, held)


def start_not_written(cluster: Cluster) -> Arranged:
    """No statement about the start gets through; the task executes meanwhile."""
    role = "attempts" if "attempts" in cluster.subject.tables else "registry"
    return held_at_the_start(cluster, lambda *_: lock_table(cluster, role))


def start_not_committed(cluster: Cluster) -> Arranged:
    """The record's turn to say STARTED does not come."""
    return held_at_the_start(cluster, lambda *tasks: lock_records(cluster, *tasks))


def effect(cluster: Cluster) -> Arranged:
    """In the middle of its work."""
    early, late = publish_both(cluster)
    victim = cluster.worker("a", concurrency=2)
    await_execution(cluster, early, late)
    return Arranged(victim, {early: CLOSED, late: REDELIVERED})


def result_stored(cluster: Cluster) -> Arranged:
    """Callers can have the result, and the tracker has not been told."""
    arranged = effect(cluster)
    early, late = arranged.fates
    for task in (early, late):
        task.release()
        task.await_mark("result stored")
    return replace(arranged, fates={early: RUN_ONCE, late: ENDED_BEFORE})


def success_not_committed(cluster: Cluster) -> Arranged:
    """The tracker has been told, and the record's turn to say SUCCESS does not come."""
    arranged = result_stored(cluster)
    held = lock_records(cluster, *arranged.fates)
    for task in arranged.fates:
        task.release("result stored")
        task.await_mark("success told")
    return replace(arranged, held=held)


def not_acknowledged(cluster: Cluster) -> Arranged:
    """The main process is about to acknowledge: one task executes, the other one's record says SUCCESS."""
    late, early = publish(cluster, "step_late"), publish(cluster, "step_unacknowledged")
    victim = cluster.worker("a", concurrency=2)
    early.await_mark("acknowledging")
    await_execution(cluster, early, late)
    pass_marks(late)
    cluster.await_record(late, {"SUCCESS"})
    return Arranged(victim, {early: replace(CLOSED, comes_back=True), late: ENDED_BEFORE})


def success_told(cluster: Cluster) -> Arranged:
    """The record says SUCCESS, and the main process has not been told."""
    arranged = result_stored(cluster)
    for task in arranged.fates:
        task.release("result stored")
        task.await_mark("success told")
        cluster.await_record(task, {"SUCCESS"})
    return arranged


def die(cluster: Cluster, arranged: Arranged, *deaths: Fault) -> None:
    """Kill, once the lock is felt; only then is it lifted."""
    if arranged.held is not None:
        cluster.await_landing(arranged.held)
    for death in deaths:
        cluster.inject(death)
    if arranged.held is not None:
        cluster.heal(arranged.held)


@pytest.mark.promise("STALE-19")
@pytest.mark.redis_broker
@pytest.mark.parametrize(
    "at", [start_not_written, start_not_committed, effect, result_stored, success_not_committed, not_acknowledged]
)
def test_the_worker_dies(cluster: Cluster, at: Callable[[Cluster], Arranged]) -> None:
    """What was acknowledged early ran once and is closed; the rest completes at the worker that gets it again."""
    sweeper = cluster.worker("b", wait=False)
    arranged = at(cluster)
    cluster.await_worker(sweeper)
    die(cluster, arranged, kill(arranged.victim.process))
    run_what_comes_back(cluster, arranged.fates)

    judge(cluster, arranged.fates)


@pytest.mark.promise("STALE-29")
@pytest.mark.redis_broker
@pytest.mark.parametrize("at", [start_not_committed, result_stored, success_not_committed, success_told])
def test_the_children_die(cluster: Cluster, at: Callable[[Cluster], Arranged]) -> None:
    """Their worker lives on: what had not returned fails or runs again, and what had keeps its end."""
    publish(cluster, "ok")
    cluster.inject(occupy(cluster.state))
    arranged = at(cluster)
    children = [cluster.history.truth("start", task.id)[0].value["pid"] for task in arranged.fates]
    die(cluster, arranged, *(kill(arranged.victim.process, pid=child) for child in children))
    early, late = arranged.fates
    fates = {early: RUN_ONCE, late: RUN_ONCE}
    if at is start_not_committed:
        fates = {early: LOST, late: RUN_AGAIN}
    for task in fates:
        pass_marks(task)
        cluster.await_delivered(task, arranged.victim)

    judge(cluster, fates, SECONDS + cluster.timing.recovery_bound_s)


# -- connections -------------------------------------------------------------------------------------------------------


@pytest.mark.promise("STALE-34")
@pytest.mark.requires("registry-table")
@pytest.mark.redis_broker
def test_the_connection_to_the_broker_dies(cluster: Cluster) -> None:
    """What a worker holds comes back to it: what waited runs once, and what it could not acknowledge runs again."""
    ahead = publish(cluster, "step_late")
    worker = cluster.worker("a", behind_proxy=True)
    await_execution(cluster, ahead)
    waiting = publish_both(cluster)
    for task in waiting:
        cluster.await_log(worker.process, "received", task.id)
    # Asleep meanwhile, so that the broker can be reached when the worker finds its connections gone, and gives back.
    asleep = cluster.inject(freeze(worker.process, whole=False))
    cluster.heal(cluster.inject(sever(worker.broker, Mode.RESET)))
    cluster.heal(asleep)
    cluster.await_log(worker.process, "Connected to", count=2)
    pass_marks(ahead)
    cluster.await_record(ahead, {"SUCCESS"})
    fates = {ahead: ENDED_BEFORE} | dict.fromkeys(waiting, RUN_LATER)
    for task in waiting:
        pass_marks(task)
    for task, fate in fates.items():
        cluster.await_log(worker.process, "succeeded", task.id, count=fate.executions)

    judge(cluster, fates)


@pytest.mark.promise("STALE-20")
@pytest.mark.parametrize("status", ["STARTED", "SUCCESS"])
def test_the_connection_to_the_database_dies(cluster: Cluster, status: str) -> None:
    """It is reset between a commit and the answer to it: what is written twice counts once."""
    task = publish(cluster, "hold")
    commit = delay_commit(cluster, status)
    worker = cluster.worker("a", behind_proxy=True)
    task.await_mark()
    if status == "SUCCESS":
        cluster.await_record(task, {"STARTED"})
        task.release()
    cluster.await_landing(commit)
    silence = cluster.inject(sever(worker.postgres, Mode.SWALLOW), await_landing=False)
    cluster.heal(commit)
    cluster.await_record(task, {status})
    cluster.await_landing(silence)
    reset = cluster.inject(sever(worker.postgres, Mode.RESET))
    cluster.heal(reset)
    if status == "STARTED":
        cluster.await_log(worker.process, "the database answers again")
        task.release()

    judge(cluster, {task: RUN_ONCE})
