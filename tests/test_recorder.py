"""The recorder on a real Postgres: in order, behind a bound, kept while the database is away, and never a nuisance."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import Engine, select, text

from harness._processes import await_until
from harness._proxy import Mode, Proxy
from harness._servers import Servers
from reference_impl.left_behind import write_what_was_left
from reference_impl.lifecycle import DeliveryLost, Event, Owner, Progressed, Published, Started, Succeeded, Transition
from reference_impl.models import AuditEntry, TaskRecord
from reference_impl.recorder import Recorder
from reference_impl.registry import Registry
from reference_impl.reports import Report
from reference_impl.settings import load_settings
from reference_impl.ticket import Ticket
from tests.conftest import RunProgram

WITHIN_S = 20.0
SOON_S = 0.4

MakeRecorder = Callable[..., Recorder]


def report(task_id: str, event: Event | None = None, **said: Any) -> Report:
    """A report about a task, of its publication unless told otherwise."""
    return Report(task_id, event or Published(), who="w1", why="as told", task_name="mail.send", **said)


def storing(value: object) -> Report:
    """A report whose stored arguments are `value`."""
    return report("odd", arguments=lambda: (value, None))


@pytest.fixture
def recorder(registry_database: str, tmp_path: Path) -> MakeRecorder:
    """Makes a recorder on the database of this test, with a spool of its own."""

    def make(url: str = registry_database, *, write_timeout_s: float = WITHIN_S, **settings: Any) -> Recorder:
        spool = {"spool_directory": tmp_path / "spool"}
        return Recorder(load_settings(database_url=url, write_timeout_s=write_timeout_s, **spool | settings))

    return make


@pytest.fixture
def link(servers: Servers) -> Iterator[Proxy]:
    """A proxy in front of the server."""
    proxy = Proxy("postgres", servers.postgres)
    yield proxy
    proxy.close()


@pytest.fixture
def linked_url(registry_database: str, link: Proxy) -> str:
    """The database's URL through the proxy."""
    return registry_database.replace(f":{urlsplit(registry_database).port}/", f":{link.port}/")


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The ERROR lines of the recorder."""
    caplog.set_level(logging.INFO, logger="reference_impl.recorder")
    return lambda: [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR]


@pytest.fixture
def warnings(errors: object, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The WARNING lines of the recorder."""
    return lambda: [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]


def trail(engine: Engine) -> list[tuple[str, str]]:
    """What the audit trail tells, oldest first."""
    with engine.connect() as connection:
        rows = connection.execute(select(AuditEntry.__table__).order_by(AuditEntry.entry_id)).mappings()
        return [(row["task_id"], row["to_status"]) for row in rows]


def written(ticket: Ticket) -> bool:
    """Whether the report reached the database within its deadline."""
    return ticket.wait(WITHIN_S) and not ticket.dropped


# -- in order ------------------------------------------------------------------------------------------------------


def test_reports_are_written_in_the_order_of_their_arrival(recorder: MakeRecorder, engine: Engine) -> None:
    """Each report is in the database when `record` returns, with what became of it."""
    door = recorder()
    owner = Owner(uuid4(), uuid4())

    events: list[Event] = [Published(), Started(owner), Succeeded(owner)]
    tickets = [door.record(report(task, event)) for task in ("a", "b") for event in events]

    path = ["PENDING", "STARTED", "SUCCESS"]
    assert trail(engine) == [("a", status) for status in path] + [("b", status) for status in path]
    assert all(ticket.outcome is not None for ticket in tickets)
    assert isinstance(tickets[-1].outcome and tickets[-1].outcome.decision, Transition)
    assert door.failures == 0


def test_a_process_has_one_connection(recorder: MakeRecorder, engine: Engine, registry_database: str) -> None:
    """However much is written, a recorder keeps one connection, and none of its transactions stays open."""
    door = recorder()

    for number in range(10):
        door.record(report(f"task {number}"))

    with engine.connect() as connection:
        seen = connection.execute(
            text(
                "SELECT state FROM pg_stat_activity WHERE datname = :name AND application_name LIKE 'celery-tracker %'"
            ),
            {"name": registry_database.rpartition("/")[2]},
        ).all()
    assert [row.state for row in seen] == ["idle"]


# -- behind a bound ------------------------------------------------------------------------------------------------


def test_nobody_waits_longer_than_the_bound(
    recorder: MakeRecorder, engine: Engine, errors: Callable[[], list[str]]
) -> None:
    """Behind a lock the first report waits for `write_timeout_s`, the next not at all, and all are written later."""
    door = recorder(write_timeout_s=1.0)
    assert written(door.record(report("locked")))
    with engine.begin() as lock:
        lock.execute(text("SELECT 1 FROM celery_task_registry FOR UPDATE"))

        start = time.monotonic()
        tickets = [door.record(report("locked", Started(Owner(None, uuid4()))))]
        first_s = time.monotonic() - start
        tickets += [door.record(report(f"task {number}")) for number in range(20)]
        others_s = time.monotonic() - start - first_s
        held_up = [ticket.written for ticket in tickets]

    assert first_s >= 1.0
    assert others_s < 1.0
    assert not any(held_up)
    assert errors() == [
        "tracking: Started of task mail.send[locked] was not recorded: no answer from the database within 1 s; kept"
    ]
    assert all(written(ticket) for ticket in tickets)
    assert [task for task, _ in trail(engine)] == ["locked", "locked", *(f"task {number}" for number in range(20))]


# -- on the reporter's own hands ------------------------------------------------------------------------------------


def ordinary(task_id: str, event: Event | None = None) -> Report:
    """A report that says all that a record needs."""
    return report(task_id, event, arguments=lambda: ([], {}))


def warm(door: Recorder, owner: Owner) -> None:
    """Have the recorder meet a task's ordinary course once, after which others are sent by who reports them."""
    for event in (Published(), Started(owner), Succeeded(owner)):
        assert written(door.record(ordinary("warm", event)))
    await_until("the lent connection", lambda: (door._line and door._holder is None) or None, WITHIN_S)


def test_an_ordinary_report_is_no_work_for_the_writer(
    recorder: MakeRecorder, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its kind is known, whoever reports sends it himself, and has what became of it."""
    door, owner = recorder(), Owner(uuid4(), uuid4())
    warm(door, owner)
    monkeypatch.setattr(Registry, "apply", lambda *_: pytest.fail("the writer was asked"))

    owner = Owner(owner.incarnation_id, uuid4())
    tickets = [door.record(ordinary("t", event)) for event in (Published(), Started(owner), Succeeded(owner))]

    assert trail(engine)[3:] == [("t", status) for status in ("PENDING", "STARTED", "SUCCESS")]
    assert all(isinstance(ticket.outcome and ticket.outcome.decision, Transition) for ticket in tickets)
    assert door.failures == 0


def test_a_record_that_stands_otherwise_is_looked_at(recorder: MakeRecorder, engine: Engine) -> None:
    """A report that does not find what it expects is the writer's, and has its answer like any other."""
    door = recorder()
    warm(door, Owner(uuid4(), uuid4()))

    ticket = door.record(ordinary("unpublished", Started(Owner(None, uuid4()))))

    assert isinstance(ticket.outcome and ticket.outcome.decision, Transition)
    assert trail(engine)[3:] == [("unpublished", "STARTED")]


def test_who_begins_a_report_goes_on_meanwhile(
    recorder: MakeRecorder, engine: Engine, link: Proxy, linked_url: str
) -> None:
    """Between `begin` and `finish` nobody waits; the bound counts from the beginning."""
    door = recorder(linked_url)
    warm(door, Owner(uuid4(), uuid4()))
    link.set(Mode.HOLD)

    start = time.monotonic()
    ticket = door.begin(ordinary("t"))
    begun_s = time.monotonic() - start
    unanswered = ticket.outcome
    link.set(Mode.PASS)
    door.finish(ticket)

    assert begun_s < 1.0
    assert unanswered is None
    assert ticket.answered
    assert trail(engine)[3:] == [("t", "PENDING")]


def test_what_nobody_waits_for_is_kept_within_the_bound(
    recorder: MakeRecorder,
    engine: Engine,
    link: Proxy,
    linked_url: str,
    tmp_path: Path,
    errors: Callable[[], list[str]],
) -> None:
    """An end that is told elsewhere is put on disk when its answer does not come, and is written once in the end."""
    door, owner = recorder(linked_url, write_timeout_s=SOON_S), Owner(uuid4(), uuid4())
    warm(door, owner)
    owner = Owner(owner.incarnation_id, uuid4())
    for event in (Published(), Started(owner)):
        assert written(door.record(ordinary("t", event)))
    link.set(Mode.HOLD)

    start = time.monotonic()
    ticket = door.record(ordinary("t", Succeeded(owner)), told_elsewhere=True)
    took_s = time.monotonic() - start
    await_until("the report on disk", lambda: list((tmp_path / "spool").glob("*.jsonl")) or None, WITHIN_S)
    told = errors()
    link.set(Mode.PASS)

    assert took_s < SOON_S
    unanswered = f"no answer from the database within {SOON_S:g} s; kept"
    assert told == [f"tracking: Succeeded of task mail.send[t] was not recorded: {unanswered}"]
    assert written(ticket)
    assert trail(engine)[3:] == [("t", status) for status in ("PENDING", "STARTED", "SUCCESS")]


def test_a_connection_that_was_ended_is_made_anew(recorder: MakeRecorder, engine: Engine) -> None:
    """A lent connection that Postgres has ended costs no report, and nobody is told of trouble that is none."""
    door = recorder()
    warm(door, Owner(uuid4(), uuid4()))
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'celery-tracker %'"
            )
        )

    assert written(door.record(ordinary("t")))

    assert trail(engine)[3:] == [("t", "PENDING")]
    assert door.failures == 0


def test_a_report_that_has_no_text_is_told_of(
    recorder: MakeRecorder, engine: Engine, errors: Callable[[], list[str]]
) -> None:
    """What cannot be sent does not pass for the one that was sent before it."""
    door = recorder()
    warm(door, Owner(uuid4(), uuid4()))
    assert written(door.record(ordinary("before")))

    ticket = door.record(ordinary("n\0thing"))

    assert ticket.dropped
    assert trail(engine)[3:] == [("before", "PENDING")]
    assert len(errors()) == 1


def test_what_is_rolled_back_leaves_the_lent_connection_as_it_is(
    recorder: MakeRecorder, engine: Engine, errors: Callable[[], list[str]]
) -> None:
    """Reports that the database refuses cost themselves, and none of those that come after them."""
    door = recorder()
    warm(door, Owner(uuid4(), uuid4()))
    for number in range(10):  # so many that psycopg would have prepared what is executed again and again
        assert written(door.record(report(f"{number}", Started(Owner(None, uuid4())), reason="again")))
    refused = door.record(report("refused", Started(Owner(None, uuid4())), owner="n\0body"))

    tickets = [door.record(ordinary(f"after {number}")) for number in range(4)]

    assert refused.dropped
    assert all(written(ticket) for ticket in tickets)
    assert len(errors()) == 1
    assert len(trail(engine)) == 3 + 10 + 4


def test_several_threads_share_the_connection(recorder: MakeRecorder, engine: Engine) -> None:
    """Whoever finds it taken leaves his report to the writer; each is written once, and none is late."""
    door = recorder()
    warm(door, Owner(uuid4(), uuid4()))

    def work(number: int) -> None:
        for step in range(20):
            owner = Owner(None, uuid4())
            for event in (Published(), Started(owner), Succeeded(owner)):
                door.record(ordinary(f"{number}.{step}", event), told_elsewhere=isinstance(event, Succeeded))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert door.flush(WITHIN_S) == 0

    told = Counter(status for task, status in trail(engine) if task != "warm")
    assert told == Counter(PENDING=160, STARTED=160, SUCCESS=160)
    assert door.failures == 0


@pytest.mark.parametrize("lost", [False, True])
def test_a_start_waits_for_a_publication_that_was_announced(
    recorder: MakeRecorder, engine: Engine, *, lost: bool
) -> None:
    """Where its message says that the publication was sent first, a start comes after it, however late that is.

    So it is when the message of an earlier publication was lost, and there is a record.
    """
    worker, publisher = recorder(), recorder()
    before: list[Event] = [Published(), DeliveryLost()] if lost else []
    for event in before:
        publisher.record(report("t", event, reason="lost"))
    start = report("t", Started(Owner(None, uuid4())), announced=True)
    started = threading.Thread(target=worker.record, args=[start])
    started.start()
    await_until("the start in the queue", lambda: worker._queue or None, WITHIN_S)
    publisher.record(report("t"))
    started.join(WITHIN_S)

    assert trail(engine)[len(before) :] == [("t", "PENDING"), ("t", "STARTED")]


def test_an_announced_publication_is_not_waited_for_without_end(recorder: MakeRecorder, engine: Engine) -> None:
    """One that never comes holds a start up for half of `write_timeout_s`; nothing is late for it."""
    worker = recorder(write_timeout_s=1.0)

    ticket = worker.record(report("t", Started(Owner(None, uuid4())), announced=True))

    assert written(ticket)
    assert trail(engine) == [("t", "STARTED")]
    assert worker.failures == 0


INTERRUPTED = """
import json, signal, sys, time
from contextlib import suppress
from uuid import uuid4
from celery.exceptions import SoftTimeLimitExceeded
from reference_impl.lifecycle import Owner, Published, Started, Succeeded
from reference_impl.recorder import Recorder
from reference_impl.reports import Report
from reference_impl.settings import Settings

def interrupt(*_):
    raise SoftTimeLimitExceeded

def course(task_id):
    owner = Owner(None, uuid4())
    for event in (Published(), Started(owner), Succeeded(owner)):
        told = Report(task_id, event, "w1", "as told", task_name="mail.send", arguments=lambda: ([], {}))
        yield recorder.record(told, told_elsewhere=isinstance(event, Succeeded))

recorder = Recorder(Settings(database_url=sys.argv[1], spool_directory=sys.argv[2]))
list(course("warm"))
signal.signal(signal.SIGALRM, interrupt)
interrupted = number = 0
until = time.monotonic() + 5
while time.monotonic() < until:
    number += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 * (1 + number % 17))
        for _ in course(f"{number}"):
            pass
        signal.setitimer(signal.ITIMER_REAL, 0)
    except SoftTimeLimitExceeded:
        interrupted += 1
with suppress(SoftTimeLimitExceeded):
    signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
left = recorder.flush(20)
last = list(course("last"))
slowest = max(ticket.begun_s for ticket in last)
print(json.dumps([interrupted, left, recorder.flush(20), all(ticket.answered for ticket in last), slowest]))
"""


def test_an_exception_may_come_at_any_time(
    registry_database: str, engine: Engine, run_program: RunProgram, tmp_path: Path
) -> None:
    """A soft time limit, raised wherever the recorder is, leaves nothing locked and nothing behind."""
    ended = run_program(INTERRUPTED, registry_database, str(tmp_path / "spool"))

    assert ended.returncode == 0, ended.stderr
    interrupted, left, left_at_last, answered, slowest_s = json.loads(ended.stdout)
    assert interrupted > 100
    assert (left, left_at_last) == (0, 0)
    assert answered
    assert slowest_s < SOON_S
    with engine.connect() as connection:
        differ = text(
            "SELECT count(*) FROM celery_task_registry r WHERE status IS DISTINCT FROM "
            "(SELECT to_status FROM celery_task_audit a WHERE a.task_id = r.task_id AND NOT refused "
            "ORDER BY entry_id DESC LIMIT 1)"
        )
        assert connection.execute(differ).scalar() == 0
    assert not list((tmp_path / "spool").glob("*.jsonl"))


# -- kept while the database is away -------------------------------------------------------------------------------


def test_reports_are_kept_while_the_database_is_away(
    recorder: MakeRecorder,
    engine: Engine,
    link: Proxy,
    linked_url: str,
    errors: Callable[[], list[str]],
    warnings: Callable[[], list[str]],
) -> None:
    """What happens during an outage is written after it, in order; an ERROR tells the first, WARNINGs the others."""
    door = recorder(linked_url, write_timeout_s=SOON_S)
    assert written(door.record(report("before")))
    link.set(Mode.REFUSE)

    tickets = [door.record(report(f"during {number}", Started(Owner(None, uuid4())))) for number in range(3)]
    await_until("the first failure", lambda: door.failures, WITHIN_S)
    kept = [ticket.written for ticket in tickets]
    link.set(Mode.PASS)

    assert kept == [False] * 3
    assert all(written(ticket) for ticket in tickets)
    assert [task for task, _ in trail(engine)] == ["before", "during 0", "during 1", "during 2"]
    assert door.failures == 3
    assert [line.split(" was not recorded: ")[0] for line in (*errors(), *warnings()[:2])] == [
        f"tracking: Started of task mail.send[during {number}]" for number in range(3)
    ]
    assert all(line.endswith("; kept") for line in (*errors(), *warnings()[:2]))
    assert warnings()[2].startswith("tracking: the database answers again; ")


def test_nobody_waits_until_the_queue_is_written(
    recorder: MakeRecorder, engine: Engine, link: Proxy, linked_url: str
) -> None:
    """When the database answers again, a new report does not wait behind all that was kept."""
    door = recorder(linked_url, write_timeout_s=1.0)
    assert written(door.record(report("t")))
    link.set(Mode.REFUSE)
    door.record(report("kept"))
    with engine.begin() as lock:
        lock.execute(text("SELECT 1 FROM celery_task_registry FOR UPDATE"))
        behind = door.record(report("t", Started(Owner(None, uuid4()))))
        link.set(Mode.PASS)
        await_until("an answer", lambda: door._answering or None, WITHIN_S)

        start = time.monotonic()
        last = door.record(report("last"))
        took = time.monotonic() - start

    assert took < 1.0
    assert written(behind)
    assert written(last)


# -- kept on disk --------------------------------------------------------------------------------------------------


def kept_by_an_ended_process(recorder: MakeRecorder, link: Proxy, linked_url: str, *reports: Report) -> Recorder:
    """Reports of a process that has ended, as far as its files can tell: its lock is gone."""
    door = recorder(linked_url, write_timeout_s=SOON_S)
    link.set(Mode.REFUSE)
    for kept in reports:
        door.record(kept)
    door._spool.forget()
    return door


def test_what_an_ended_process_has_left_is_written(
    recorder: MakeRecorder, engine: Engine, link: Proxy, linked_url: str, tmp_path: Path
) -> None:
    """Its reports reach the database, in their order and with their times, and the file is gone."""
    owner = Owner(uuid4(), uuid4())
    long_ago = time.monotonic() - 60
    door = kept_by_an_ended_process(
        recorder,
        link,
        linked_url,
        report("t", happened=long_ago),
        report("t", Started(owner), happened=long_ago + 1),
        report("t", Succeeded(owner), happened=long_ago + 2),
    )

    write_what_was_left(engine, door._settings)

    with engine.connect() as connection:
        age = connection.execute(text("SELECT clock_timestamp() - queued_at FROM celery_task_registry")).scalar_one()
    assert trail(engine) == [("t", status) for status in ("PENDING", "STARTED", "SUCCESS")]
    assert 60 <= age.total_seconds() < 60 + WITHIN_S
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_a_living_process_keeps_is_its_own(
    recorder: MakeRecorder, engine: Engine, link: Proxy, linked_url: str, tmp_path: Path
) -> None:
    """Nobody else writes what a process still has to write; it does so itself, and removes its file."""
    door = recorder(linked_url, write_timeout_s=SOON_S)
    link.set(Mode.REFUSE)
    ticket = door.record(report("t"))

    write_what_was_left(engine, door._settings)
    of_others = trail(engine)
    link.set(Mode.PASS)

    assert of_others == []
    assert written(ticket)
    assert trail(engine) == [("t", "PENDING")]
    await_until("the end of its file", lambda: not list((tmp_path / "spool").iterdir()) or None, WITHIN_S)


def test_a_process_that_is_no_worker_writes_what_others_have_left(
    recorder: MakeRecorder, engine: Engine, link: Proxy, linked_url: str
) -> None:
    """Where no worker sweeps, the next process that has something to tell tells that, too."""
    kept_by_an_ended_process(recorder, link, linked_url, report("left"))

    assert written(recorder().record(report("mine")))

    await_until("the report that was left", lambda: len(trail(engine)) > 1 or None, WITHIN_S)
    assert sorted(trail(engine)) == [("left", "PENDING"), ("mine", "PENDING")]


def test_without_a_spool_it_says_so(
    recorder: MakeRecorder, link: Proxy, linked_url: str, tmp_path: Path, errors: Callable[[], list[str]]
) -> None:
    """A report that cannot be put on disk waits in memory, with an ERROR that says why; it is written all the same."""
    (tmp_path / "a file").touch()
    door = recorder(linked_url, write_timeout_s=SOON_S, spool_directory=tmp_path / "a file")
    link.set(Mode.REFUSE)

    ticket = door.record(report("t"))
    link.set(Mode.PASS)

    assert "it is in memory only" in errors()[0]
    assert "a file" in errors()[0]
    assert written(ticket)


def test_of_progress_only_the_last_waits(
    recorder: MakeRecorder, engine: Engine, registry_database: str, link: Proxy, linked_url: str
) -> None:
    """While the database is away, progress does not pile up: the last of each task is written when it is back."""
    owner = Owner(uuid4(), uuid4())
    recorder(registry_database).record(report("t", Started(owner)))
    link.set(Mode.REFUSE)
    away = recorder(linked_url, write_timeout_s=SOON_S)
    away.record(report("other"))
    for step in range(100):
        away.note(report("t", Progressed(owner), progress={"current": step}))
    waiting = away.flush(0.0)
    link.set(Mode.PASS)
    away.flush(WITHIN_S)

    with engine.connect() as connection:
        told = connection.execute(select(TaskRecord.progress).where(TaskRecord.task_id == "t")).scalar_one()
    assert waiting == 2
    assert told == {"current": 99}


def test_a_report_that_was_kept_tells_when_it_happened(
    recorder: MakeRecorder, engine: Engine, link: Proxy, linked_url: str
) -> None:
    """A report that is written late carries the time of its event, by the database's clock."""
    door = recorder(linked_url, write_timeout_s=SOON_S)
    link.set(Mode.REFUSE)
    ticket = door.record(report("t", happened=time.monotonic() - 60))
    link.set(Mode.PASS)
    kept = written(ticket)

    assert kept
    with engine.connect() as connection:
        age = connection.execute(text("SELECT clock_timestamp() - queued_at FROM celery_task_registry")).scalar_one()
    assert 60 <= age.total_seconds() < 60 + WITHIN_S


def test_beyond_the_limit_reports_are_dropped_and_told(
    recorder: MakeRecorder, engine: Engine, link: Proxy, linked_url: str, errors: Callable[[], list[str]]
) -> None:
    """With `write_queue_limit` reports waiting, the next one is dropped with an ERROR line of its own."""
    door = recorder(linked_url, write_timeout_s=SOON_S, write_queue_limit=2)
    link.set(Mode.REFUSE)
    kept = [door.record(report(f"kept {number}")) for number in range(2)]

    dropped = door.record(report("one too many"))
    link.set(Mode.PASS)

    assert dropped.dropped
    assert dropped.written
    assert dropped.outcome is None
    assert errors()[-1] == (
        "tracking: Published of task mail.send[one too many] was not recorded: 2 reports are waiting already; dropped"
    )
    assert all(written(ticket) for ticket in kept)
    assert [task for task, _ in trail(engine)] == ["kept 0", "kept 1"]


# -- refused -------------------------------------------------------------------------------------------------------


def unmade() -> tuple[Any, Any]:
    """Arguments that cannot be had."""
    raise RuntimeError("no arguments today")


@pytest.mark.parametrize(
    ("refused", "cause"),
    [
        (storing("\0"), "UntranslatableCharacter: "),
        (storing(float("nan")), "InvalidTextRepresentation: "),
        (storing({1, 2}), "TypeError: "),
        (report("odd", arguments=unmade), "RuntimeError: no arguments today"),
    ],
    ids=["NUL", "not a number", "a set", "unmade"],
)
def test_a_report_that_is_refused_is_dropped(
    recorder: MakeRecorder, engine: Engine, errors: Callable[[], list[str]], refused: Report, cause: str
) -> None:
    """A report that cannot be stored costs one ERROR line, in one line, and does not stand in the next one's way."""
    door = recorder()

    odd, good = door.record(refused), door.record(report("good"))

    assert odd.dropped
    assert not good.dropped
    assert trail(engine) == [("good", "PENDING")]
    (line,) = errors()
    assert line.startswith("tracking: Published of task mail.send[odd] was not recorded: ")
    assert cause in line
    assert "\n" not in line


# -- the end of a process ------------------------------------------------------------------------------------------


def test_flushing_tells_what_is_left(
    recorder: MakeRecorder, link: Proxy, linked_url: str, warnings: Callable[[], list[str]]
) -> None:
    """A flush waits up to its bound, and says in the log how many reports remain unwritten."""
    door = recorder(linked_url, write_timeout_s=SOON_S)
    link.set(Mode.REFUSE)
    for number in range(3):
        door.record(report(f"task {number}"))

    left = door.flush(0.1)

    assert left == 3
    assert warnings()[-1] == "tracking: 3 reports are left on disk for another process to write"


def test_flushing_counts_what_is_lost(
    recorder: MakeRecorder, link: Proxy, linked_url: str, tmp_path: Path, errors: Callable[[], list[str]]
) -> None:
    """What is in memory only ends with its process, and is counted."""
    (tmp_path / "a file").touch()
    door = recorder(linked_url, write_timeout_s=SOON_S, spool_directory=tmp_path / "a file")
    link.set(Mode.REFUSE)
    for number in range(3):
        door.record(report(f"task {number}"))

    door.flush(0.1)

    assert errors()[-1] == "tracking: 3 reports were not written when this process ended"


def test_flushing_waits_for_what_can_be_written(recorder: MakeRecorder, engine: Engine) -> None:
    """A flush ends as soon as everything is written."""
    door = recorder(write_timeout_s=0.01)
    for number in range(30):
        door.record(report(f"task {number}"))

    assert door.flush(WITHIN_S) == 0
    assert len(trail(engine)) == 30


def test_flushing_nothing_returns_at_once(recorder: MakeRecorder) -> None:
    """A process that tracked nothing has nothing to wait for, and no thread."""
    door = recorder()

    assert door.flush(WITHIN_S) == 0
    assert door._thread is None


# -- forks ---------------------------------------------------------------------------------------------------------


FORKED = """
import json, os, sys, warnings
import psycopg
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of forks beside threads
from reference_impl.lifecycle import Published
from reference_impl.recorder import Recorder
from reference_impl.registry import Registry
from reference_impl.reports import Report
from reference_impl.settings import Settings

url = sys.argv[1]
recorder = Recorder(Settings(database_url=url, write_timeout_s=0.2))
say = lambda task: recorder.record(Report(task, Published(), who="w1", why="as told"))
say("before")
with psycopg.connect(url) as lock:
    lock.execute("LOCK TABLE celery_task_registry")
    say("kept by the parent")
    waiting = len(recorder._queue)
    child = os.fork()
    if child == 0:
        inherited = len(recorder._queue)
        thread = recorder._thread is None
        lock = None
        ticket = say("by the child")
        os.write(1, json.dumps([waiting, inherited, thread]).encode())
        os._exit(0 if ticket.wait(20) and recorder.flush(20) == 0 else 3)
    lock.rollback()
_, status = os.waitpid(child, 0)
left = recorder.flush(20)
sys.exit(status or left)
"""


def test_a_forked_child_starts_afresh(registry_database: str, engine: Engine, run_program: RunProgram) -> None:
    """A child inherits no thread and no reports, writes its own, and its parent's are written once, by the parent."""
    ended = run_program(FORKED, registry_database)

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [1, 0, True]
    assert sorted(task for task, _ in trail(engine)) == ["before", "by the child", "kept by the parent"]
    with engine.connect() as connection:
        assert len(connection.execute(select(TaskRecord.__table__)).all()) == 3
