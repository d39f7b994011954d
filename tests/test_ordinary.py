"""The ordinary course of a task: a statement a step, and the same rows as after a look at the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, event, select, text

from reference_impl.lifecycle import Event, Failed, Ignored, Owner, Published, Started, Succeeded
from reference_impl.models import Attempt, AuditEntry, StoredResult, TaskRecord
from reference_impl.ordinary import take, write_of
from reference_impl.registry import Registry
from reference_impl.reports import Outcome, Report
from reference_impl.stored_results import Kept


def report(what: Event, *, task_id: str = "t", age_s: float = 0.0, **said: Any) -> Report:
    """A report with all that a worker says, of an event that was `age_s` seconds ago."""
    words: dict[str, Any] = {
        "task_name": "mail.send",
        "worker_id": "w1@host",
        "worker_pid": 7,
        "arguments": lambda: (["a"], {}),
    } | said
    return Report(task_id, what, "w1", "as told", happened=time.monotonic() - age_s, **words)


def life(owner: Owner, end: Event, **said: Any) -> Iterator[Report]:
    """Published, started and ended, each when it is asked for: reports are as old as they are."""
    yield report(Published(), queue="mail")
    yield report(Started(owner))
    yield report(end, **said)


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is executed meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def rows(engine: Engine) -> list[list[dict[str, Any]]]:
    """All that is stored, without what is counted, and with whether there is a time in the place of the time."""
    stored = []
    with engine.begin() as connection:
        for table in (TaskRecord, Attempt, AuditEntry, StoredResult):
            found = connection.execute(select(table.__table__).order_by(text("1"))).mappings()
            stored.append(
                [
                    {name: isinstance(value, datetime) or value for name, value in row.items() if name != "entry_id"}
                    for row in found
                ]
            )
            connection.execute(table.__table__.delete())  # type: ignore[attr-defined]
    return stored


@pytest.fixture
def held(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has somebody else hold each record while its report is written for the first time."""

    def take_while_held(connection: Connection, told: Report) -> Outcome | None:
        with engine.connect() as other:
            other.execute(text("SELECT FROM celery_task_registry FOR UPDATE"))
            return take(connection, told)

    def hold() -> None:
        monkeypatch.setattr("reference_impl.registry.take", take_while_held)

    return hold


@pytest.mark.parametrize("kept", [None, Kept(2, "digest", ("result.x: io.File",), b"{}", expires_s=60.0)])
def test_each_step_is_one_statement(engine: Engine, kept: Kept | None) -> None:
    """Published, started and ended: three statements, each committed by itself."""
    registry, owner = Registry(engine), Owner(UUID(int=1), uuid4())

    with statements(engine) as seen:
        for step in life(owner, Succeeded(owner), result=["done"], kept=kept):
            registry.apply(step)

    assert len(seen) == 3, seen


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (Succeeded, {"result": {"n": 1}, "kept": Kept(2, "digest", (), b"{}", expires_s=60.0)}),
        (Failed, {"error_type": "E", "error_message": "m", "error_traceback": "t", "reason": "exception"}),
        (Ignored, {"reason": "ignored"}),
    ],
)
def test_both_ways_write_the_same(
    engine: Engine, held: Callable[[], None], end: type[Succeeded | Failed | Ignored], said: dict[str, Any]
) -> None:
    """A record that somebody holds is looked at once it is free; what is stored is the same in every column."""
    registry, owner = Registry(engine), Owner(UUID(int=1), uuid4())

    ordinary = [registry.apply(step) for step in life(owner, end(owner), **said)], rows(engine)
    held()
    looked = [registry.apply(step) for step in life(owner, end(owner), **said)], rows(engine)

    assert ordinary == looked
    assert [len(table) for table in ordinary[1]] == [1, 1, 3, int("kept" in said)]


def test_an_end_that_is_told_twice_is_refused(engine: Engine) -> None:
    """The answer to a commit may be lost with the connection: what is written again finds its record as it left it."""
    registry, owner = Registry(engine), Owner(UUID(int=1), uuid4())

    for step in life(owner, Succeeded(owner), result=1):
        registry.apply(step)
        registry.apply(step)

    _, attempts, trail, _ = rows(engine)
    assert len(attempts) == 1
    assert [entry["to_status"] for entry in trail if not entry["refused"]] == ["PENDING", "STARTED", "SUCCESS"]
    assert [entry["to_status"] for entry in trail if entry["refused"]] == ["STARTED", "SUCCESS"]


def test_a_publication_after_its_start_is_moved_with_a_remark(engine: Engine) -> None:
    """Times that would run backwards are no ordinary ones."""
    registry, owner = Registry(engine), Owner(UUID(int=1), uuid4())
    registry.apply(report(Published()))

    registry.apply(report(Started(owner), age_s=5.0))

    with engine.connect() as connection:
        record = connection.execute(select(TaskRecord.__table__)).one()
    assert record.started_at == record.queued_at
    assert "queued_at was" in rows(engine)[2][-1]["why"]


def test_who_owns_a_task_is_filled_in_by_its_start(engine: Engine) -> None:
    """A publication that did not say it leaves the record without an owner; that is not what a start expects."""
    registry, owner = Registry(engine), Owner(UUID(int=1), uuid4())
    registry.apply(report(Published()))

    registry.apply(report(Started(owner), owner="shop"))

    assert rows(engine)[0][0]["owner"] == "shop"


@pytest.mark.parametrize("stood_still", [False, True])
def test_the_times_of_a_late_answer_are_mended(engine: Engine, *, stood_still: bool) -> None:
    """An event is as old as it is, also where its answer came long after; what has come of the task since stays."""
    registry, owner, other = Registry(engine), Owner(UUID(int=1), uuid4()), Owner(UUID(int=2), uuid4())
    registry.apply(report(Published(), age_s=60.0))
    started = report(Started(owner), age_s=30.0)
    write = write_of(replace(started, happened=time.monotonic()))
    assert write is not None
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        entry_id = connection.exec_driver_sql(write.statement.text, dict(write.values)).scalar_one()
    if stood_still:
        registry.apply(report(Started(other)))

    registry.mend_times(started, write, entry_id)

    with engine.connect() as connection:
        ages = text(
            "SELECT clock_timestamp() - r.started_at AS record, clock_timestamp() - a.started_at AS attempt, "
            "clock_timestamp() - e.at AS told FROM celery_task_registry r JOIN celery_task_audit e USING (task_id) "
            "JOIN celery_task_attempt a ON a.attempt_id = e.attempt_id WHERE entry_id = :entry_id"
        )
        seen = connection.execute(ages, {"entry_id": entry_id}).one()
    assert 30.0 <= seen.told.total_seconds() < 60.0
    assert 30.0 <= seen.attempt.total_seconds() < 60.0
    assert (seen.record.total_seconds() < 30.0) is stood_still
