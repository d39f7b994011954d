"""The spool: what goes to disk comes back as it was, once, and from nobody but this user."""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args
from uuid import UUID, uuid4

import pytest

from reference_impl.agent_rows import AgentWord, Step
from reference_impl.lifecycle import Event, Owner, Published, Revoked, Succeeded
from reference_impl.messages import Message
from reference_impl.reports import Report
from reference_impl.settings import Settings, load_settings
from reference_impl.spool import Spool, SpoolError, adopt, spool_directory
from reference_impl.stored_results import Kept

OWNER = Owner(uuid4(), uuid4())
VALUES = {
    "owner": OWNER,
    "retries": 3,
    "terminated": True,
    "redeliver": True,
    "by_hand": True,
    "attempt_id": uuid4(),
}


def report(task_id: str, event: Event | None = None) -> Report:
    """A report about a task, of its publication unless told otherwise."""
    return Report(task_id, event or Published(), who="w1", why="as told")


def one_of_each() -> list[Event]:
    """Every kind of event, each field filled in."""
    return [kind(**{name: VALUES[name] for name in kind.__dataclass_fields__}) for kind in get_args(Event)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a spool of this test alone."""
    return load_settings(database_url="postgresql://nobody@127.0.0.1:1/none", spool_directory=tmp_path / "spool")


def left_in(settings: Settings) -> list[Report]:
    """Adopt what lies there."""
    found: list[Report] = []
    adopt(settings, found.append)
    return found


@pytest.mark.parametrize("event", one_of_each(), ids=lambda event: type(event).__name__)
def test_every_event_comes_back(settings: Settings, event: Event) -> None:
    """An event is read as what it was."""
    spool = Spool(settings)
    spool.keep(report("t", event))
    spool.forget()

    assert [found.event for found in left_in(settings)] == [event]


def test_all_that_is_said_comes_back(settings: Settings) -> None:
    """Arguments, times, bytes of a message and everything else are as they were; the moment moves by no second."""
    said = {
        "task_name": "mail.send",
        "worker_id": "a@b",
        "worker_pid": 7,
        "result": {"text": "ä\ud800"},
        "error_type": "E",
        "error_message": "line\nline",
        "error_traceback": "Traceback",
        "reason": "r",
        "agent": AgentWord("planner", Step.CONTINUES, phase="at work"),
        "owner": "alice",
        "kept": Kept(
            3, "ab", ("result.x: lock",), b'"\\ud800"', UUID(int=7), "/spool/x.result", told=False, expires_s=1.5
        ),
        "eta": datetime.now(UTC) + timedelta(hours=1),
        "awaits_s": 1.5,
        "message": Message(3, b"\x00\xff\n", {"headers": {"id": "t"}}),
        "waiters": {"chord": "c"},
        "acks_late": True,
        "redelivered": True,
        "happened": time.monotonic() - 90,
    }
    spool = Spool(settings)
    spool.keep(Report("t", Succeeded(OWNER), "w1", "returned", arguments=lambda: ([1], {"a": None}), **said))  # type: ignore[arg-type]
    spool.forget()

    (found,) = left_in(settings)

    assert found.arguments is not None
    assert found.arguments() == ([1], {"a": None})
    assert {name: getattr(found, name) for name in said if name != "happened"} == {
        name: value for name, value in said.items() if name != "happened"
    }
    assert abs(found.happened - said["happened"]) < 1.0  # type: ignore[operator]


def test_what_is_done_does_not_come_back(settings: Settings) -> None:
    """Of three reports one is done with; two are left, and then the file goes."""
    spool = Spool(settings)
    first, *others = [spool.keep(report(f"task {number}")) for number in range(3)]
    spool.done(first)
    seen_meanwhile = left_in(settings)
    for number in others[:1]:
        spool.done(number)
    spool.forget()

    assert seen_meanwhile == []
    assert [found.task_id for found in left_in(settings)] == ["task 2"]
    assert left_in(settings) == []


def test_who_is_interrupted_goes_on_where_it_was(settings: Settings) -> None:
    """An heir that fails at the second report leaves it and the rest; the first is not written again."""
    spool = Spool(settings)
    for number in range(3):
        spool.keep(report(f"task {number}"))
    spool.forget()
    written: list[str] = []

    def write(kept: Report) -> None:
        if len(written) == 1 and kept.task_id == "task 1":
            raise ConnectionError("gone again")
        written.append(kept.task_id)

    with pytest.raises(ConnectionError):
        adopt(settings, write)

    assert written == ["task 0"]
    assert [found.task_id for found in left_in(settings)] == ["task 1", "task 2"]


def test_a_line_that_was_cut_short_costs_itself_only(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """The reports around it are read; an ERROR counts it, and the file is kept aside for somebody to look at."""
    spool = Spool(settings)
    spool.keep(report("before"))
    (path,) = (settings.spool_directory or Path()).glob("*.jsonl")
    with path.open("a") as file:
        file.write('\n{"report": 1, "task_id": "cut sh')
    spool.keep(report("after"))
    spool.forget()

    with caplog.at_level(logging.ERROR):
        found = left_in(settings)

    assert [kept.task_id for kept in found] == ["before", "after"]
    assert "1 lines of the spool cannot be read" in caplog.text
    assert [left.suffix for left in path.parent.iterdir()] == [".unreadable"]


def test_nobody_else_can_read_it(settings: Settings) -> None:
    """Directory and file are the user's alone: they hold arguments of tasks."""
    Spool(settings).keep(report("t"))

    directory = spool_directory(settings)
    (path,) = directory.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_others_may_write_to_is_not_believed(settings: Settings) -> None:
    """Neither is anything put there nor is anything taken from there."""
    directory = spool_directory(settings)
    spool = Spool(settings)
    spool.keep(report("t", Revoked(terminated=False)))
    spool.forget()
    directory.chmod(0o777)

    with pytest.raises(SpoolError, match="others may write there"):
        Spool(settings).keep(report("t"))
    assert left_in(settings) == []


def test_each_registry_has_a_directory_of_its_own() -> None:
    """Unless one is named, the place follows from the database, whoever's password opens it."""
    mine, also_mine, other = (
        spool_directory(load_settings(database_url=url))
        for url in ("postgresql://a:x@db/one", "postgresql://b:y@db/one", "postgresql://a:x@db/two")
    )

    assert mine == also_mine != other


def test_results_that_no_report_speaks_of_are_forgotten_after_a_day(settings: Settings) -> None:
    """Those of killed processes; not the young ones, and none while somebody has reports there."""
    spool = Spool(settings)
    spool.keep(Report("t", Succeeded(OWNER), "w1", "returned"))
    directory = spool_directory(settings)
    old, young = (directory / f"celery-tracker-{name}.result" for name in ("old", "young"))
    for path in (old, young):
        path.write_text("1")
    os.utime(old, (0, 0))

    adopt(settings, lambda _report: None)
    assert old.exists()
    spool.done(0)
    adopt(settings, lambda _report: None)

    assert (old.exists(), young.exists()) == (False, True)
