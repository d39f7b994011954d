"""The registry on a real Postgres: which columns each report moves, what is refused, and what the trail tells."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from reference_impl.columns import AWAITING_REDELIVERY
from reference_impl.lifecycle import (
    Event,
    Failed,
    HandedBack,
    NotPublished,
    Owner,
    Progressed,
    Published,
    RedeliveryOverdue,
    Refusal,
    Retrying,
    Revoked,
    Started,
    Status,
    Succeeded,
    Transition,
    Unchanged,
    WorkerLost,
    attempt_of,
)
from reference_impl.models import Attempt, AuditEntry, Base, TaskRecord
from reference_impl.registry import NOT_PUBLISHED, Registry
from reference_impl.reports import Outcome, Report
from reference_impl.schema import downgrade, is_present, migrate

WORKER, OTHER_WORKER = UUID(int=1), UUID(int=2)
PID_OF_NOBODY = 2**22 + 1


def attempt(worker: UUID = WORKER) -> Owner:
    """A new execution on a worker."""
    return Owner(worker, uuid4())


def report(event: Event, *, age_s: float = 0.0, who: str = "w1", why: str = "as told", **said: Any) -> Report:
    """A report about the one task of the test, of an event that was `age_s` seconds ago."""
    words: dict[str, Any] = {"task_name": "mail.send", "worker_id": "w1@host", "worker_pid": 7} | said
    return Report("t", event, who, why, happened=time.monotonic() - age_s, **words)


@pytest.fixture
def registry(engine: Engine) -> Registry:
    """A registry on a database of this test alone."""
    return Registry(engine)


@pytest.fixture
def record(engine: Engine) -> Callable[[], dict[str, Any]]:
    """Reads the task's record."""

    def read() -> dict[str, Any]:
        with engine.connect() as connection:
            return dict(connection.execute(select(TaskRecord.__table__)).mappings().one())

    return read


@pytest.fixture
def trail(engine: Engine) -> Callable[[], list[dict[str, Any]]]:
    """Reads the task's trail, oldest first."""

    def read() -> list[dict[str, Any]]:
        with engine.connect() as connection:
            rows = connection.execute(select(AuditEntry.__table__).order_by(AuditEntry.entry_id)).mappings()
            return [dict(row) for row in rows]

    return read


@pytest.fixture
def attempts(engine: Engine) -> Callable[[], dict[UUID, dict[str, Any]]]:
    """Reads the task's attempts by their ids."""

    def read() -> dict[UUID, dict[str, Any]]:
        with engine.connect() as connection:
            rows = connection.execute(select(Attempt.__table__)).mappings()
            return {row["attempt_id"]: dict(row) for row in rows}

    return read


def database_now(engine: Engine) -> datetime:
    """The database's clock."""
    with engine.connect() as connection:
        now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def moves(rows: list[dict[str, Any]]) -> list[tuple[str | None, str]]:
    """The trail's transitions that were taken."""
    return [(row["from_status"], row["to_status"]) for row in rows if not row["refused"]]


# -- the schema ----------------------------------------------------------------------------------------------------


def test_the_schema_goes_up_down_and_up_again(empty_engine: Engine) -> None:
    """Migrating makes the tables, downgrading removes them, and migrating makes them anew."""
    seen = [is_present(empty_engine)]
    for change in (migrate, downgrade, migrate):
        change(empty_engine)
        seen.append(is_present(empty_engine))

    assert seen == [False, True, False, True]


def test_migrating_twice_keeps_what_is_stored(engine: Engine, registry: Registry) -> None:
    """A database that is up to date is left as it is."""
    registry.apply(report(Published()))

    migrate(engine)

    with engine.connect() as connection:
        assert connection.execute(select(TaskRecord.task_id)).scalars().all() == ["t"]


def test_a_downgrade_leaves_nothing_behind(empty_engine: Engine) -> None:
    """After a downgrade only the version's own table remains, and it is empty."""
    migrate(empty_engine)

    downgrade(empty_engine)

    assert inspect(empty_engine).get_table_names() == ["celery_tracker_version"]
    with empty_engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM celery_tracker_version")).scalar_one() == 0


def test_the_migrations_build_what_the_models_say(engine: Engine) -> None:
    """Tables, columns, their nullability and their indexes are the same in the migrations and in the models."""
    found = inspect(engine)
    for table in Base.metadata.sorted_tables:
        columns = {column["name"]: bool(column["nullable"]) for column in found.get_columns(table.name)}
        indexes = {index["name"] for index in found.get_indexes(table.name)}

        assert columns == {column.name: bool(column.nullable) for column in table.columns}
        assert indexes == {index.name for index in table.indexes}


def test_the_database_refuses_a_seventh_status(engine: Engine) -> None:
    """No status but Celery's six can be stored, whoever writes."""
    with engine.connect() as connection, pytest.raises(IntegrityError, match="ck_celery_task_registry_status"):
        connection.execute(text("INSERT INTO celery_task_registry (task_id, status) VALUES ('t', 'LOST')"))


# -- one life after another ----------------------------------------------------------------------------------------


def test_a_publication_makes_a_pending_record(registry: Registry, record: Callable[[], dict[str, Any]]) -> None:
    """A publication writes name, arguments and the time of queueing, and nothing of a worker."""
    eta = datetime(2030, 1, 1, tzinfo=UTC)

    outcome = registry.apply(report(Published(), arguments=lambda: ([1], {"a": None}), eta=eta, who="client"))

    row = record()
    assert outcome == Outcome(Transition(Status.PENDING), None)
    assert (row["status"], row["detail"], row["task_name"]) == ("PENDING", "queued", "mail.send")
    assert (row["args"], row["kwargs"], row["eta"]) == ([1], {"a": None}, eta)
    assert row["queued_at"] is not None
    assert row["attempts"] == 0
    assert [row[name] for name in ("worker_id", "attempt_id", "started_at", "completed_at")] == [None] * 4


def test_a_start_names_worker_and_attempt(registry: Registry, record: Callable[[], dict[str, Any]]) -> None:
    """A start writes who executes and since when; the first heartbeat is the start."""
    owner = attempt()
    registry.apply(report(Published()))

    outcome = registry.apply(report(Started(owner)))

    row = record()
    assert outcome == Outcome(Transition(Status.STARTED), Status.PENDING)
    assert (row["status"], row["worker_id"], row["worker_pid"]) == ("STARTED", "w1@host", 7)
    assert (row["incarnation_id"], row["attempt_id"], row["attempts"]) == (WORKER, owner.attempt_id, 1)
    assert row["last_heartbeat"] == row["started_at"] >= row["queued_at"]
    assert row["eta"] is None


def test_a_success_keeps_the_result_and_the_time(registry: Registry, record: Callable[[], dict[str, Any]]) -> None:
    """A success writes result, time of completion and who said so, and keeps what was known."""
    owner = attempt()
    registry.apply(report(Published(), arguments=lambda: ([1], {})))
    registry.apply(report(Started(owner)))

    registry.apply(report(Succeeded(owner), result={"answer": 42}))

    row = record()
    assert (row["status"], row["result"], row["ended_by"]) == ("SUCCESS", {"answer": 42}, "w1")
    assert row["queued_at"] <= row["started_at"] <= row["completed_at"]
    assert (row["args"], row["worker_id"]) == ([1], "w1@host")
    assert row["error_type"] is None


def test_a_failure_keeps_type_and_message(registry: Registry, record: Callable[[], dict[str, Any]]) -> None:
    """A failure writes the error's type and message, and a time of completion."""
    owner = attempt()
    registry.apply(report(Started(owner)))

    registry.apply(report(Failed(owner), error_type="ValueError", error_message="it fails"))

    row = record()
    assert (row["status"], row["error_type"], row["error_message"]) == ("FAILURE", "ValueError", "it fails")
    assert row["completed_at"] is not None


def test_a_revocation_keeps_its_reason(registry: Registry, record: Callable[[], dict[str, Any]]) -> None:
    """A revocation writes its reason and a time of completion, for a task that never started too."""
    registry.apply(report(Published()))

    registry.apply(report(Revoked(terminated=False), reason="expired"))

    row = record()
    assert (row["status"], row["reason"], row["started_at"]) == ("REVOKED", "expired", None)
    assert row["completed_at"] >= row["queued_at"]


def test_a_retry_waits_for_its_time_and_runs_again(
    registry: Registry, record: Callable[[], dict[str, Any]], trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """A retry keeps its cause and its time; the next start counts one more attempt and clears the time."""
    first, second = attempt(), attempt()
    eta = datetime(2030, 1, 1, tzinfo=UTC)
    registry.apply(report(Published()))
    registry.apply(report(Started(first)))

    registry.apply(report(Retrying(first), error_type="ValueError", error_message="again", eta=eta))
    waiting = record()
    registry.apply(report(Started(second)))
    running = record()
    registry.apply(report(Succeeded(second)))

    assert (waiting["status"], waiting["detail"], waiting["eta"]) == ("RETRY", "waiting for its retry", eta)
    assert (waiting["error_type"], waiting["completed_at"]) == ("ValueError", None)
    assert (running["attempts"], running["attempt_id"], running["eta"]) == (2, second.attempt_id, None)
    assert moves(trail()) == [
        (None, "PENDING"),
        ("PENDING", "STARTED"),
        ("STARTED", "RETRY"),
        ("RETRY", "STARTED"),
        ("STARTED", "SUCCESS"),
    ]


def test_a_task_whose_publication_was_lost_is_recorded_from_its_start(
    registry: Registry, record: Callable[[], dict[str, Any]], trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """The start fills in name and arguments, and the trail notes that no publication was recorded."""
    outcome = registry.apply(report(Started(attempt()), arguments=lambda: (["x"], {})))

    row = record()
    assert outcome.before is None
    assert (row["task_name"], row["args"], row["queued_at"]) == ("mail.send", ["x"], None)
    assert trail()[0]["why"] == "as told; its publication was not recorded"


def test_a_late_publication_fills_in_what_only_it_knows(
    registry: Registry, record: Callable[[], dict[str, Any]], trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """A publication written after the start completes the record, and is never later than the start."""
    registry.apply(report(Started(attempt()), age_s=5))

    outcome = registry.apply(report(Published(), arguments=lambda: (["x"], {})))

    row = record()
    assert outcome == Outcome(Unchanged(), Status.STARTED)
    assert (row["status"], row["args"]) == ("STARTED", ["x"])
    assert row["queued_at"] <= row["started_at"]
    assert len(trail()) == 1


def test_a_publication_that_is_written_after_the_end_fills_in_what_only_it_knows(
    registry: Registry, record: Callable[[], dict[str, Any]], trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """Kept through an outage, it completes the record; the end stands, and nothing was refused."""
    owner = attempt()
    registry.apply(report(Started(owner), age_s=5))
    registry.apply(report(Succeeded(owner), age_s=4))

    registry.apply(report(Published(), age_s=6, arguments=lambda: (["x"], {})))

    row = record()
    assert (row["status"], row["args"]) == ("SUCCESS", ["x"])
    assert row["queued_at"] <= row["started_at"] <= row["completed_at"]
    assert not any(entry["refused"] for entry in trail())


def test_an_attempt_that_began_earlier_does_not_take_the_record_over(
    registry: Registry, record: Callable[[], dict[str, Any]], attempts: Callable[[], dict[UUID, dict[str, Any]]]
) -> None:
    """Its report was kept through an outage: the later attempt has the record, and the earlier one is known too."""
    earlier, later = attempt(), attempt(OTHER_WORKER)
    registry.apply(report(Published(), age_s=60))
    registry.apply(report(Started(later)))

    outcome = registry.apply(report(Started(earlier), age_s=30))

    assert isinstance(outcome.decision, Refusal)
    assert outcome.may_run
    assert record()["attempt_id"] == later.attempt_id
    assert set(attempts()) == {earlier.attempt_id, later.attempt_id}


def test_a_second_publication_changes_nothing(registry: Registry, record: Callable[[], dict[str, Any]]) -> None:
    """The same publication reported twice leaves the first."""
    registry.apply(report(Published(), arguments=lambda: ([1], {})))
    before = record()

    outcome = registry.apply(report(Published(), arguments=lambda: ([2], {})))

    assert outcome.decision == Unchanged()
    assert record() == before


def test_what_was_seen_of_an_end_after_its_retry_was_published_completes_it(
    registry: Registry, record: Callable[[], dict[str, Any]]
) -> None:
    """A retry whose message went out before the signal keeps the error that the signal brings."""
    owner = attempt()
    registry.apply(report(Started(owner)))
    registry.apply(report(Published(retries=1)))

    outcome = registry.apply(report(Retrying(owner), error_type="ValueError", error_message="again"))

    row = record()
    assert outcome.decision == Unchanged()
    assert (row["status"], row["error_type"], row["error_message"]) == ("RETRY", "ValueError", "again")


# -- late and double reports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [Succeeded, Failed, Retrying])
def test_a_report_after_the_end_is_refused_and_audited(
    registry: Registry,
    record: Callable[[], dict[str, Any]],
    trail: Callable[[], list[dict[str, Any]]],
    end: type[Succeeded | Failed | Retrying],
) -> None:
    """Whatever comes after the end changes no column, and stands in the trail as refused, with its reason."""
    owner = attempt()
    registry.apply(report(Started(owner)))
    registry.apply(report(Succeeded(owner), result=1))
    before = record()

    outcome = registry.apply(report(end(owner), result=2, error_type="ValueError"))

    last = trail()[-1]
    assert isinstance(outcome.decision, Refusal)
    assert outcome.before is Status.SUCCESS
    assert record() == before
    assert (last["refused"], last["from_status"], last["who"]) == (True, "SUCCESS", "w1")
    assert (last["attempt_id"], last["at"].tzinfo is None) == (owner.attempt_id, False)
    assert "already ended (SUCCESS)" in last["why"]


def test_a_fenced_attempt_cannot_end_what_another_took_over(
    registry: Registry, record: Callable[[], dict[str, Any]], trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """After a redelivery the first attempt's end is refused and the second's is taken."""
    first, second = attempt(), attempt(OTHER_WORKER)
    registry.apply(report(Started(first)))
    registry.apply(report(Started(second), worker_id="w2@host"))

    late = registry.apply(report(Succeeded(first), result="first"))
    registry.apply(report(Succeeded(second), result="second"))

    row = record()
    assert late.decision == Refusal("late SUCCESS: another attempt owns the record")
    assert (row["result"], row["worker_id"], row["attempts"]) == ("second", "w2@host", 2)
    assert [entry["refused"] for entry in trail()] == [False, False, True, False]


def test_a_revoked_task_may_not_run(registry: Registry) -> None:
    """A start after a revocation is refused so that the worker does not execute; after another end it may run."""
    registry.apply(report(Revoked(terminated=False)))

    refused = registry.apply(report(Started(attempt()), redelivered=True))

    assert isinstance(refused.decision, Refusal)
    assert not refused.may_run


def test_a_redelivery_after_a_success_may_run_but_is_not_recorded_over_it(
    registry: Registry, record: Callable[[], dict[str, Any]]
) -> None:
    """A task that ended well and is delivered again runs, as Celery has it, and keeps its first end."""
    owner = attempt()
    registry.apply(report(Started(owner)))
    registry.apply(report(Succeeded(owner), result="first"))

    again = registry.apply(report(Started(attempt())))

    assert again.may_run
    assert (record()["status"], record()["result"]) == ("SUCCESS", "first")


def test_two_ends_at_the_same_moment_leave_one(
    engine: Engine, registry: Registry, trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """Of two reports that arrive together one is taken and the other refused; both are in the trail."""
    owner = attempt()
    registry.apply(report(Started(owner)))
    together = Barrier(2, timeout=10)
    outcomes: list[Outcome] = []

    def end(event: Event) -> None:
        together.wait()
        outcomes.append(Registry(engine).apply(report(event)))

    threads = [
        Thread(target=end, args=(event,)) for event in (Succeeded(owner), WorkerLost(owner.attempt_id, redeliver=False))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sorted(type(outcome.decision).__name__ for outcome in outcomes) == ["Refusal", "Transition"]
    assert [entry["refused"] for entry in trail()[1:]] == [False, True]


def test_two_first_reports_at_the_same_moment_make_one_record(
    engine: Engine, trail: Callable[[], list[dict[str, Any]]], record: Callable[[], dict[str, Any]]
) -> None:
    """A publication and a start that arrive together make one record that is started and knows its publication."""
    together = Barrier(2, timeout=10)
    owner = attempt()

    def apply(event: Event) -> None:
        together.wait()
        Registry(engine).apply(report(event, arguments=lambda: ([1], {})))

    threads = [Thread(target=apply, args=(event,)) for event in (Published(), Started(owner))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    row = record()
    assert (row["status"], row["attempt_id"], row["args"]) == ("STARTED", owner.attempt_id, [1])
    assert row["queued_at"] is not None
    assert moves(trail())[-1][1] == "STARTED"


# -- attempts ------------------------------------------------------------------------------------------------------


def test_each_execution_is_an_attempt_of_its_own(
    registry: Registry, attempts: Callable[[], dict[UUID, dict[str, Any]]]
) -> None:
    """A start opens an attempt with what the sweep needs to know, and its end closes it."""
    first, second = attempt(), attempt(OTHER_WORKER)
    registry.apply(report(Published()))
    registry.apply(report(Started(first), acks_late=True))
    registry.apply(report(Started(second), worker_id="w2@host", redelivered=True))
    registry.apply(report(Succeeded(second)))

    rows = attempts()
    assert first.attempt_id is not None
    assert second.attempt_id is not None
    one, two = rows[first.attempt_id], rows[second.attempt_id]
    assert (one["worker_id"], one["incarnation_id"], one["acks_late"]) == ("w1@host", WORKER, True)
    assert (one["redelivered"], one["ended_at"]) == (False, None)
    assert (two["worker_id"], two["incarnation_id"], two["redelivered"]) == ("w2@host", OTHER_WORKER, True)
    assert two["ended_at"] >= two["started_at"]


def test_a_refused_end_closes_its_attempt_all_the_same(
    registry: Registry, attempts: Callable[[], dict[UUID, dict[str, Any]]]
) -> None:
    """A fenced execution that says it is over is over, although its end is not taken."""
    first, second = attempt(), attempt()
    registry.apply(report(Started(first)))
    registry.apply(report(Started(second)))

    registry.apply(report(Succeeded(first)))

    ended = {attempt_id for attempt_id, row in attempts().items() if row["ended_at"] is not None}
    assert ended == {first.attempt_id}


def test_a_refused_start_is_an_attempt_too(
    registry: Registry, attempts: Callable[[], dict[UUID, dict[str, Any]]]
) -> None:
    """An execution of a task that has ended is seen by the sweeps although the record does not name it."""
    owner, again = attempt(), attempt()
    registry.apply(report(Started(owner)))
    registry.apply(report(Succeeded(owner)))

    registry.apply(report(Started(again)))

    assert attempts().keys() == {owner.attempt_id, again.attempt_id}


def test_an_attempt_outlives_a_record_that_cannot_be_written(
    engine: Engine, registry: Registry, attempts: Callable[[], dict[UUID, dict[str, Any]]]
) -> None:
    """The attempt is committed before the record's turn, so that a failure in between leaves its name."""
    owner = attempt()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE celery_task_registry ADD CONSTRAINT none CHECK (status <> 'STARTED')"))

    with pytest.raises(DBAPIError):
        registry.apply(report(Started(owner)))

    assert attempts().keys() == {owner.attempt_id}


def test_a_report_that_fails_leaves_nothing_of_the_record(
    engine: Engine, registry: Registry, record: Callable[[], dict[str, Any]], trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """A transition and its entry in the trail are written together or not at all."""
    owner = attempt()
    registry.apply(report(Started(owner)))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE celery_task_audit ADD CONSTRAINT none CHECK (to_status <> 'SUCCESS')"))

    with pytest.raises(DBAPIError):
        registry.apply(report(Succeeded(owner)))

    assert record()["status"] == "STARTED"
    assert moves(trail()) == [(None, "STARTED")]


@pytest.mark.parametrize(
    ("event", "knows"),
    [
        (Started(Owner(WORKER, UUID(int=9))), True),
        (Failed(Owner(WORKER, UUID(int=9))), True),
        (WorkerLost(UUID(int=9), redeliver=True), True),
        (Published(), False),
        (Revoked(terminated=True), False),
        (RedeliveryOverdue(), False),
    ],
)
def test_events_that_know_their_attempt_tell_it(event: Event, *, knows: bool) -> None:
    """An event of an execution names its attempt; one of the task as a whole names none."""
    assert attempt_of(event) == (UUID(int=9) if knows else None)


# -- times ---------------------------------------------------------------------------------------------------------


def test_times_are_the_databases_less_the_reports_age(
    engine: Engine, registry: Registry, record: Callable[[], dict[str, Any]]
) -> None:
    """An event that was a minute ago on the reporter's monotonic clock was a minute ago on the database's."""
    before = database_now(engine)
    registry.apply(report(Published(), age_s=60))

    queued_at = record()["queued_at"]
    assert queued_at.utcoffset() == timedelta(0)
    assert abs((before - queued_at).total_seconds() - 60) < 5


def test_an_event_from_the_future_is_now(
    engine: Engine, registry: Registry, record: Callable[[], dict[str, Any]]
) -> None:
    """A negative age, which no clock can mean, counts as none."""
    registry.apply(report(Published(), age_s=-60))

    assert record()["queued_at"] <= database_now(engine)


def test_times_that_would_run_backwards_are_moved_with_a_remark(
    registry: Registry, record: Callable[[], dict[str, Any]], trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """A publication after the start is moved to it, an end before the start to that, and the trail says so."""
    owner = attempt()
    registry.apply(report(Published(), age_s=10))
    registry.apply(report(Started(owner), age_s=20))
    registry.apply(report(Succeeded(owner), age_s=30))

    row = record()
    assert row["queued_at"] == row["started_at"] == row["completed_at"]
    published, start, end = trail()
    assert row["started_at"] == start["at"] < published["at"]
    assert f"queued_at was {published['at'].isoformat()}" in start["why"]
    assert f"moved to {row['queued_at'].isoformat()}" in start["why"]
    assert "completed_at was" in end["why"]


def test_times_in_order_have_no_remark(registry: Registry, trail: Callable[[], list[dict[str, Any]]]) -> None:
    """Where nothing was moved, the trail says only what happened."""
    owner = attempt()
    registry.apply(report(Published(), age_s=3))
    registry.apply(report(Started(owner), age_s=2))
    registry.apply(report(Succeeded(owner), age_s=1))

    assert [entry["why"] for entry in trail()] == ["as told"] * 3


# -- the death of a worker -----------------------------------------------------------------------------------------


def test_a_lost_worker_without_redelivery_ends_its_task(
    registry: Registry, record: Callable[[], dict[str, Any]], attempts: Callable[[], dict[UUID, dict[str, Any]]]
) -> None:
    """A dead worker's task that nobody delivers again is revoked, with time, cause, and who found out."""
    owner = attempt()
    registry.apply(report(Started(owner)))

    outcome = registry.apply(
        report(
            WorkerLost(owner.attempt_id, redeliver=False),
            who="sweep w2",
            reason="worker lost",
            error_message="w1 died",
        )
    )

    row = record()
    assert outcome.decision == Transition(Status.REVOKED)
    assert (row["status"], row["reason"], row["error_message"]) == ("REVOKED", "worker lost", "w1 died")
    assert (row["ended_by"], row["completed_at"] is not None) == ("sweep w2", True)
    assert all(found["ended_at"] is not None for found in attempts().values())


def test_a_lost_worker_with_redelivery_leaves_its_task_to_the_broker(
    registry: Registry, record: Callable[[], dict[str, Any]], trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """A dead worker's task that the broker will deliver again waits for that, and runs as a new attempt."""
    lost, again = attempt(), attempt(OTHER_WORKER)
    registry.apply(report(Started(lost), acks_late=True))

    registry.apply(report(WorkerLost(lost.attempt_id, redeliver=True), who="sweep w2", awaits_s=60.0))
    waiting = record()
    registry.apply(report(Started(again), worker_id="w2@host", redelivered=True))
    registry.apply(report(Succeeded(again), result="done"))

    row = record()
    assert (waiting["status"], waiting["detail"]) == ("RETRY", AWAITING_REDELIVERY)
    waits = waiting["eta"] - waiting["started_at"]
    assert timedelta(seconds=60) <= waits < timedelta(seconds=65)
    assert waiting["completed_at"] is None
    assert (row["status"], row["attempts"], row["worker_id"], row["result"]) == ("SUCCESS", 2, "w2@host", "done")
    assert "awaiting redelivery" in trail()[1]["why"]
    assert row["error_message"] is None


def test_attempts_that_died_are_counted(registry: Registry, engine: Engine) -> None:
    """A start tells how many attempts before it were lost: swept, or superseded when their process was gone."""
    incarnation = Owner(WORKER, uuid4())
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO celery_worker_incarnation (incarnation_id, node, pid, lease_s, started_at, renewed_at) "
                "VALUES (:id, 'w1@host', 1, 60, now(), now())"
            ),
            {"id": WORKER},
        )
    swept, gone, alive, last = incarnation, attempt(), attempt(), attempt(OTHER_WORKER)
    registry.apply(report(Started(swept), acks_late=True))
    registry.apply(report(WorkerLost(swept.attempt_id, redeliver=True)))

    outcomes = [
        registry.apply(report(Started(gone), worker_pid=PID_OF_NOBODY)),
        registry.apply(report(Started(alive), worker_pid=os.getpid())),
        registry.apply(report(Started(last))),
    ]

    assert [outcome.losses for outcome in outcomes] == [1, 2, 2]
    assert [getattr(outcome.decision, "warn", None) for outcome in outcomes] == [False, False, True]


def test_what_was_not_published_is_told_and_may_be_published_again(
    registry: Registry, record: Callable[[], dict[str, Any]]
) -> None:
    """A failed publication ends the record with its cause; published again, nothing of that end is left."""
    registry.apply(report(Published()))
    registry.apply(report(NotPublished(), reason=NOT_PUBLISHED, error_type="Refused", error_message="no room"))
    told = record()
    registry.apply(report(Published()))

    again = record()
    assert (told["status"], told["reason"], told["error_type"]) == ("FAILURE", NOT_PUBLISHED, "Refused")
    assert told["completed_at"] is not None
    assert (again["status"], again["detail"], again["reason"]) == ("PENDING", "queued", None)
    assert [again[name] for name in ("completed_at", "error_type", "error_message", "ended_by")] == [None] * 4


def test_progress_is_kept_with_its_time_and_leaves_no_trail(
    registry: Registry, record: Callable[[], dict[str, Any]], trail: Callable[[], list[dict[str, Any]]]
) -> None:
    """The last progress of the attempt that owns the record stands beside STARTED; a fenced one's is left out."""
    owner, fenced = attempt(), attempt(OTHER_WORKER)
    registry.apply(report(Started(owner)))
    registry.apply(report(Progressed(owner), progress={"current": 1}))
    registry.apply(report(Progressed(fenced), progress={"current": 2}))

    row = record()
    assert (row["status"], row["progress"]) == ("STARTED", {"current": 1})
    assert row["progressed_at"] >= row["started_at"]
    assert moves(trail()) == [(None, "STARTED")]


def test_a_task_that_gives_its_message_back_waits_again(
    registry: Registry, record: Callable[[], dict[str, Any]], attempts: Callable[[], dict[UUID, dict[str, Any]]]
) -> None:
    """It is PENDING with its attempt counted and ended, and keeps the time of its publication."""
    owner = attempt()
    registry.apply(report(Published()))
    queued_at = record()["queued_at"]
    registry.apply(report(Started(owner)))

    registry.apply(report(HandedBack(owner), reason="requeued"))

    row = record()
    assert (row["status"], row["detail"], row["attempts"]) == ("PENDING", "handed back", 1)
    assert row["queued_at"] == queued_at
    assert [row["ended_at"] is not None for row in attempts().values()] == [True]


def test_a_redelivery_that_does_not_come_ends_the_task(
    registry: Registry, record: Callable[[], dict[str, Any]]
) -> None:
    """A task that the broker did not deliver again within the bound is revoked."""
    owner = attempt()
    registry.apply(report(Started(owner)))
    registry.apply(report(WorkerLost(owner.attempt_id, redeliver=True)))

    registry.apply(report(RedeliveryOverdue(), reason="redelivery overdue"))

    assert (record()["status"], record()["reason"]) == ("REVOKED", "redelivery overdue")


def test_a_worker_lost_too_late_does_not_touch_the_next_attempt(
    registry: Registry, record: Callable[[], dict[str, Any]], attempts: Callable[[], dict[UUID, dict[str, Any]]]
) -> None:
    """A sweep that looked before a redelivery closes the dead attempt, and leaves the living one the record."""
    dead, living = attempt(), attempt(OTHER_WORKER)
    registry.apply(report(Started(dead)))
    registry.apply(report(Started(living), worker_id="w2@host"))

    outcome = registry.apply(report(WorkerLost(dead.attempt_id, redeliver=False)))

    assert isinstance(outcome.decision, Refusal)
    assert (record()["status"], record()["attempt_id"]) == ("STARTED", living.attempt_id)
    ended = {attempt_id for attempt_id, row in attempts().items() if row["ended_at"] is not None}
    assert ended == {dead.attempt_id}


def test_the_end_of_a_task_that_was_revoked_as_lost_is_refused(
    registry: Registry, record: Callable[[], dict[str, Any]]
) -> None:
    """A worker that comes back from the dead cannot take its task back."""
    owner = attempt()
    registry.apply(report(Started(owner)))
    registry.apply(report(WorkerLost(owner.attempt_id, redeliver=False)))

    outcome = registry.apply(report(Succeeded(owner), result="too late"))

    assert outcome.decision == Refusal("late SUCCESS: already ended (REVOKED)")
    assert (record()["status"], record()["result"]) == ("REVOKED", None)


def test_a_report_of_an_unknown_task_that_is_refused_leaves_no_record(engine: Engine, registry: Registry) -> None:
    """A refused report about a task that has no record does not make one up."""
    registry.apply(report(RedeliveryOverdue()))

    with engine.connect() as connection:
        assert connection.execute(select(TaskRecord.__table__)).all() == []


def test_an_error_of_an_earlier_retry_is_not_kept_by_a_success(
    registry: Registry, record: Callable[[], dict[str, Any]]
) -> None:
    """A task that succeeds at its second attempt ends without the first one's error."""
    first, second = attempt(), attempt()
    registry.apply(report(Started(first)))
    registry.apply(report(Retrying(first), error_type="ValueError", error_message="again"))
    registry.apply(report(Started(second)))

    registry.apply(report(Succeeded(second)))

    assert (record()["status"], record()["error_type"], record()["error_message"]) == ("SUCCESS", None, None)
