"""One pass of the sweep on real servers, without any worker alive: who is dead, what is done, what is left alone."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery import Celery
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import OperationalError

from harness._embedded_servers import free_port
from harness._processes import await_until
from harness._servers import LOOPBACK, Servers
from reference_impl.incarnation import Identity, register
from reference_impl.install import _sweep_task
from reference_impl.lifecycle import Owner, Published, Started, Status, Succeeded
from reference_impl.liveness import Liveness
from reference_impl.models import Attempt, AuditEntry, Incarnation, SweepPulse, TaskRecord
from reference_impl.one_sweeper import ONE_SWEEPER, await_other_sweeper
from reference_impl.registry import Registry
from reference_impl.reports import Report
from reference_impl.rollcall import RollCall, call_the_roll
from reference_impl.settings import Settings, load_settings
from reference_impl.sweep import sweep
from reference_impl.sweep_report import MISSING, SweepReport

LONG_AGO_S = 3600.0
REDIS_DATABASE = 7

# Celery's Redis backend calls what redis-py has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

Start = Callable[..., UUID]
MakeSettings = Callable[..., Settings]
Row = dict[str, Any]


@pytest.fixture
def make_settings(registry_database: str) -> MakeSettings:
    """Settings for the database of this test; every length is far from what the test itself takes."""

    def make(**settings: Any) -> Settings:
        known = {
            "heartbeat_interval_s": 10.0,
            "lease_s": 120.0,
            "sweep_interval_s": 5.0,
            "ping_timeout_s": 0.4,
            "minimum_age_s": 60.0,
            "policy": "revoke",
            "stuck_after_s": 2 * LONG_AGO_S,
        }
        return load_settings(database_url=registry_database, **{**known, **settings})

    return make


def application(broker_url: str, backend_url: str) -> Celery:
    """An application that is not made this process's current one."""
    app = Celery("swept", broker=broker_url, backend=backend_url, set_as_current=False)
    app.conf.result_backend_always_retry = False
    return app


@pytest.fixture
def app(servers: Servers) -> Iterator[Celery]:
    """An application with a broker that works, and no worker."""
    url = f"redis://{LOOPBACK}:{servers.redis.port}/{REDIS_DATABASE}"
    made = application(url, url)
    yield made
    made.backend.client.close()
    made.close()


@pytest.fixture
def app_without_broker(servers: Servers) -> Iterator[Celery]:
    """An application whose broker is not there."""
    made = application(
        f"redis://{LOOPBACK}:{free_port()}/0", f"redis://{LOOPBACK}:{servers.redis.port}/{REDIS_DATABASE}"
    )
    yield made
    made.backend.client.close()
    made.close()


@pytest.fixture
def start(engine: Engine) -> Start:
    """A task that began long ago on a worker whose lease ran out, and who was silent once; returns its incarnation."""

    def begin(
        task_id: str = "t",
        *,
        renewed_s_ago: float = LONG_AGO_S,
        started_s_ago: float = LONG_AGO_S,
        registered: bool = True,
        asked_before: bool = True,
        pid: int = 1,
        **said: Any,
    ) -> UUID:
        identity = Identity(uuid4(), "gone@host", pid)
        if registered:
            register(engine, identity, lease_s=120.0)
            with engine.begin() as connection:
                connection.execute(
                    text(
                        "UPDATE celery_worker_incarnation SET renewed_at = clock_timestamp() "
                        "- make_interval(secs => :ago), silent_at = CASE WHEN :asked THEN clock_timestamp() END "
                        "WHERE incarnation_id = :incarnation_id"
                    ),
                    {"ago": renewed_s_ago, "incarnation_id": identity.incarnation_id, "asked": asked_before},
                )
        Registry(engine).apply(
            Report(
                task_id,
                Started(Owner(identity.incarnation_id, uuid4())),
                who=identity.node,
                why="started",
                task_name="mail.send",
                worker_id=identity.node,
                worker_pid=pid,
                happened=time.monotonic() - started_s_ago,
                **said,
            )
        )
        return identity.incarnation_id

    return begin


def watched(engine: Engine, since_s_ago: float = LONG_AGO_S, last_s_ago: float = 1.0) -> None:
    """Let sweeps have been in touch with the database since then."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO celery_sweep_pulse (id, since, last) VALUES (1, "
                "clock_timestamp() - make_interval(secs => :since), clock_timestamp() - make_interval(secs => :last)) "
                "ON CONFLICT (id) DO UPDATE SET since = excluded.since, last = excluded.last"
            ),
            {"since": since_s_ago, "last": last_s_ago},
        )


def rows(engine: Engine, model: type[Any]) -> list[Row]:
    """Everything in a table."""
    with engine.connect() as connection:
        order = next(iter(model.__table__.primary_key.columns))
        return [dict(row) for row in connection.execute(select(model.__table__).order_by(order)).mappings()]


def content(engine: Engine) -> list[list[Row]]:
    """Everything that a sweep could change about a task; of who was silent it may take note."""
    kept = [rows(engine, model) for model in (TaskRecord, Attempt, AuditEntry, Incarnation)]
    return [[{name: value for name, value in row.items() if name != "silent_at"} for row in table] for table in kept]


def told(report: SweepReport) -> dict[str, tuple[str, str]]:
    """What the pass says of each task."""
    return {finding.task_id: (finding.liveness, finding.action) for finding in report.findings}


# -- what makes a worker dead --------------------------------------------------------------------------------------


def test_a_dead_workers_task_is_closed(app: Celery, engine: Engine, make_settings: MakeSettings, start: Start) -> None:
    """After a full lease of watching, a lease that ran out and silence through a working broker are death."""
    start()
    watched(engine)

    report = sweep(engine, app, make_settings(), by="sweep w2@host")

    assert told(report) == {"t": (Liveness.DEAD, "revoked")}
    assert (report.watched, report.broker_works, report.closed) == (True, True, 1)
    (record,) = rows(engine, TaskRecord)
    assert record["status"] == Status.REVOKED
    assert (record["reason"], record["ended_by"]) == ("worker-lost", "sweep w2@host")
    assert record["error_message"] == "worker gone@host died while executing it"
    assert record["completed_at"] > record["started_at"]
    assert [row["ended_at"] is not None for row in rows(engine, Attempt)] == [True]
    last = rows(engine, AuditEntry)[-1]
    assert (last["from_status"], last["to_status"], last["who"]) == ("STARTED", "REVOKED", "sweep w2@host")
    assert last["why"].startswith("worker gone@host is dead: its lease has run out and it is silent")


def test_whoever_waits_for_a_closed_task_is_told(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """The result backend says REVOKED, with who decided it."""
    task = str(uuid4())
    start(task)
    watched(engine)

    sweep(engine, app, make_settings(), by="cli")

    result = app.AsyncResult(task)
    assert result.state == "REVOKED"
    assert "cli" in str(result.result)
    result.forget()


def test_whoever_is_silent_is_asked_twice(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """Silence is noted the first time, and counts the second time, whichever sweep that is."""
    start(asked_before=False)
    watched(engine)

    first = sweep(engine, app, make_settings(), by="sweep")
    second = sweep(engine, app, make_settings(), by="another")

    assert told(first) == {"t": (Liveness.UNKNOWN, "none")}
    assert "it is asked again" in first.findings[0].why
    assert (first.undecided, second.undecided) == (True, False)
    assert told(second) == {"t": (Liveness.DEAD, "revoked")}


def test_the_roll_is_called_once_a_pass(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For who is suspect and for messages that nobody has, together: each call takes the time of a ping."""
    watched(engine)
    start("of the dead")
    Registry(engine).apply(
        Report("lost", Published(), "client", "published", queue="q", happened=time.monotonic() - LONG_AGO_S)
    )
    calls = []

    def counted(*arguments: Any, **how: Any) -> RollCall:
        calls.append(how)
        return call_the_roll(*arguments, **how)

    monkeypatch.setattr("reference_impl.sweep.call_the_roll", counted)

    report = sweep(engine, app, make_settings(), by="test")

    assert [set(call["sought"]) for call in calls] == [{"lost"}]
    assert {finding.task_id: finding.action for finding in report.findings} == {
        "of the dead": "revoked",
        "lost": MISSING,
    }


def test_silence_before_a_renewal_does_not_count(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """Who has renewed its lease since it was silent has to be silent twice once more."""
    incarnation = start(asked_before=False)
    watched(engine)
    with engine.begin() as connection:
        noted = "UPDATE celery_worker_incarnation SET silent_at = renewed_at - interval '1 s'"
        connection.execute(text(noted + " WHERE incarnation_id = :id"), {"id": incarnation})

    report = sweep(engine, app, make_settings(), by="sweep")

    assert told(report) == {"t": (Liveness.UNKNOWN, "none")}


def test_who_has_missed_half_a_lease_is_asked_already(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """The first of the two calls is made before the lease has run out, so that nothing is lost by it."""
    start(renewed_s_ago=70.0, asked_before=False)
    watched(engine)

    report = sweep(engine, app, make_settings(), by="sweep")

    assert report.broker_works
    assert told(report) == {"t": (Liveness.ALIVE, "none")}
    assert rows(engine, Incarnation)[0]["silent_at"] is not None


def test_a_dry_run_asks_twice_itself(app: Celery, engine: Engine, make_settings: MakeSettings, start: Start) -> None:
    """What it hears is not noted; what it tells is what two sweeps would do."""
    start(asked_before=False)
    watched(engine)

    report = sweep(engine, app, make_settings(), by="cli", dry_run=True)

    assert told(report) == {"t": (Liveness.DEAD, "would be revoked")}
    assert rows(engine, Incarnation)[0]["silent_at"] is None


def test_the_first_pass_only_begins_to_watch(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """Nobody knows what happened before the first sweep of a database: nothing is dead yet, and nothing changes."""
    start(asked_before=False)
    before = content(engine)

    report = sweep(engine, app, make_settings(), by="sweep")

    assert told(report) == {"t": (Liveness.UNKNOWN, "none")}
    assert not report.watched
    assert report.broker_works  # who is silent is asked for the first time already
    assert rows(engine, Incarnation)[0]["silent_at"] is not None
    assert "not been watching for a full lease" in report.findings[0].why
    assert content(engine) == before


def test_whose_silence_is_noted_is_not_asked_again_before_it_can_be_judged(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """Until the leases have been watched for long enough, passes are short: the one that judges begins the sooner."""
    start()

    report = sweep(engine, app, make_settings(), by="sweep")

    assert told(report) == {"t": (Liveness.UNKNOWN, "none")}
    assert report.broker_works is None  # nobody was asked


@pytest.mark.parametrize(
    ("since_s_ago", "last_s_ago"),
    [(60.0, 1.0), (LONG_AGO_S, 600.0)],
    ids=["less than a lease", "a gap"],
)
def test_what_was_not_watched_is_not_dead(
    app: Celery,
    engine: Engine,
    make_settings: MakeSettings,
    start: Start,
    since_s_ago: float,
    last_s_ago: float,
) -> None:
    """Before a full lease has been watched without a gap, a lease that ran out says nothing."""
    start()
    watched(engine, since_s_ago, last_s_ago)
    before = content(engine)

    report = sweep(engine, app, make_settings(), by="sweep")

    assert told(report) == {"t": (Liveness.UNKNOWN, "none")}
    assert content(engine) == before


def test_a_gap_begins_the_watch_anew(app: Celery, engine: Engine, make_settings: MakeSettings) -> None:
    """After a gap the pulse counts from now; without one it goes on counting."""
    watched(engine, LONG_AGO_S, 600.0)
    sweep(engine, app, make_settings(), by="sweep")
    (anew,) = rows(engine, SweepPulse)

    sweep(engine, app, make_settings(), by="sweep")

    (later,) = rows(engine, SweepPulse)
    assert (datetime.now(UTC) - anew["since"]).total_seconds() < 60
    assert later["since"] == anew["since"]
    assert later["last"] > anew["last"]


def test_a_renewed_lease_is_life(app: Celery, engine: Engine, make_settings: MakeSettings, start: Start) -> None:
    """A worker that answers nobody is alive as long as its lease is renewed; the roll is not even called."""
    start(renewed_s_ago=1.0)
    watched(engine)
    before = content(engine)

    report = sweep(engine, app, make_settings(), by="sweep")

    assert told(report) == {"t": (Liveness.ALIVE, "none")}
    assert report.broker_works is None
    assert content(engine) == before


def test_silence_without_a_broker_is_unknown(
    app_without_broker: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """Where the sweep's own call does not come back, silence is no witness, and nothing changes."""
    start()
    watched(engine)
    before = content(engine)

    report = sweep(engine, app_without_broker, make_settings(), by="sweep")

    assert told(report) == {"t": (Liveness.UNKNOWN, "none")}
    assert report.broker_works is False
    assert content(engine) == before


def test_force_replaces_the_brokers_proof(
    app_without_broker: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """With `force` a lease that ran out is enough; one that is renewed still is life."""
    start("dead")
    start("alive", renewed_s_ago=1.0)
    watched(engine)

    report = sweep(engine, app_without_broker, make_settings(), by="cli", force=True)

    assert told(report) == {"dead": (Liveness.DEAD, "revoked"), "alive": (Liveness.ALIVE, "none")}
    assert {finding.task_id for finding in report.findings if "--force" in finding.why} == {"dead"}


def test_a_worker_that_never_registered_has_a_lease_of_its_own(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """A task of an incarnation that the database does not know is closed once it is a lease old, not before."""
    start("old", registered=False)
    start("young", registered=False, started_s_ago=90.0)
    watched(engine)

    report = sweep(engine, app, make_settings(), by="sweep")

    assert told(report) == {"old": (Liveness.DEAD, "revoked"), "young": (Liveness.ALIVE, "none")}


# -- what is done --------------------------------------------------------------------------------------------------


def test_a_young_task_is_left_alone(app: Celery, engine: Engine, make_settings: MakeSettings, start: Start) -> None:
    """A task younger than `minimum_age_s` is told to be dead, and left until it has that age."""
    start(started_s_ago=30.0)
    watched(engine)
    before = content(engine)

    report = sweep(engine, app, make_settings(), by="sweep")

    assert told(report) == {"t": (Liveness.DEAD, "none")}
    assert report.findings[0].why.endswith("younger than minimum_age_s (60 s)")
    assert content(engine) == before


@pytest.mark.parametrize(
    ("stored", "state", "kept"),
    [
        ({"total": 3}, "SUCCESS", {"status": "SUCCESS", "result": {"total": 3}, "error_type": None}),
        (ValueError("no"), "FAILURE", {"status": "FAILURE", "error_type": "ValueError", "error_message": "no"}),
    ],
)
def test_an_end_that_was_stored_before_the_death_is_the_end(
    app: Celery,
    engine: Engine,
    make_settings: MakeSettings,
    start: Start,
    stored: object,
    state: str,
    kept: dict[str, object],
) -> None:
    """Whoever asked has the result already; the record says the same, whatever the task's policy."""
    task = str(uuid4())
    start(task)
    watched(engine)
    app.backend.store_result(task, stored, state)

    tried = sweep(engine, app, make_settings(policy="report"), by="sweep", dry_run=True)
    report = sweep(engine, app, make_settings(policy="report"), by="sweep w2@host")

    (record,) = rows(engine, TaskRecord)
    assert told(tried) == {task: (Liveness.DEAD, "would be found ended")}
    assert told(report) == {task: (Liveness.DEAD, "found ended")}
    assert {name: record[name] for name in kept} == kept
    assert record["ended_by"] == "sweep w2@host"
    assert rows(engine, AuditEntry)[-1]["why"].startswith("its end was stored before its process died: ")


def test_an_end_of_another_run_is_not_taken_for_this_one(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """What was stored before the dead attempt began is of a run under the same id that is over."""
    task = str(uuid4())
    app.backend.store_result(task, ValueError("before"), "FAILURE")
    key = app.backend.get_key_for_task(task)
    earlier = (datetime.now(UTC) - timedelta(seconds=400)).isoformat()
    app.backend.set(key, json.dumps(json.loads(app.backend.get(key)) | {"date_done": earlier}))
    start(task, started_s_ago=300.0)
    watched(engine)

    report = sweep(engine, app, make_settings(), by="sweep")

    assert told(report) == {task: (Liveness.DEAD, "revoked")}


def test_a_result_backend_that_does_not_answer_keeps_nobody(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for once in a pass, for the time of a ping; the tasks are closed all the same."""
    for task in ("a", "b", "c"):
        start(task)
    watched(engine)
    asked: list[str] = []

    def hang(task_id: str, **_: object) -> None:
        asked.append(task_id)
        threading.Event().wait(30.0)

    monkeypatch.setattr(app.backend, "get_task_meta", hang)
    began = time.monotonic()
    report = sweep(engine, app, make_settings(), by="sweep")

    assert set(told(report).values()) == {(Liveness.DEAD, "revoked")}
    assert asked == ["a"]
    assert time.monotonic() - began < 10.0


def test_an_acknowledged_late_task_is_left_to_redelivery_and_given_up_after_the_bound(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """With `auto`, what the broker delivers again waits in RETRY, and is revoked once the bound has passed."""
    settings = make_settings(policy="auto", redelivery_bound_s=600)
    start("late", acks_late=True)
    start("early", acks_late=False)
    watched(engine)

    first = sweep(engine, app, settings, by="sweep")
    waiting = next(row for row in rows(engine, TaskRecord) if row["task_id"] == "late")
    early_wait = sweep(engine, app, settings, by="sweep")
    with engine.begin() as connection:
        passed = "UPDATE celery_task_registry SET eta = clock_timestamp() - interval '1 second' WHERE task_id = 'late'"
        connection.execute(text(passed))
    last = sweep(engine, app, settings, by="sweep")

    assert told(first) == {"late": (Liveness.DEAD, "left to redelivery"), "early": (Liveness.DEAD, "revoked")}
    assert (waiting["status"], waiting["detail"], waiting["completed_at"]) == ("RETRY", "awaiting redelivery", None)
    assert 590 < (waiting["eta"] - datetime.now(UTC)).total_seconds() < 610
    assert told(early_wait) == {}
    assert told(last) == {"late": (Liveness.DEAD, "revoked")}
    record = next(row for row in rows(engine, TaskRecord) if row["task_id"] == "late")
    assert (record["status"], record["reason"]) == ("REVOKED", "redelivery-overdue")


def test_a_task_has_the_policy_of_its_name(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """`task_policies` goes before `policy`."""
    start()
    watched(engine)

    report = sweep(engine, app, make_settings(task_policies={"mail.send": "redeliver"}), by="sweep")

    assert told(report) == {"t": (Liveness.DEAD, "left to redelivery")}


@pytest.mark.parametrize(
    ("policy", "dry_run", "action"),
    [("report", False, "reported"), ("revoke", True, "would be revoked")],
    ids=["report", "dry run"],
)
def test_a_pass_that_only_tells_changes_nothing(
    app: Celery,
    engine: Engine,
    make_settings: MakeSettings,
    start: Start,
    policy: str,
    dry_run: bool,  # noqa: FBT001 - a parameter of the test
    action: str,
) -> None:
    """The policy `report` and a dry run say what is dead and leave everything as it was."""
    start()
    watched(engine)
    before = content(engine)

    report = sweep(engine, app, make_settings(policy=policy), by="sweep", dry_run=dry_run)

    assert told(report) == {"t": (Liveness.DEAD, action)}
    assert report.closed == 0
    assert content(engine) == before


def test_what_has_ended_is_not_looked_at(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """A task that ended before its worker died is nobody's business."""
    start()
    (record,) = rows(engine, TaskRecord)
    owner = Owner(record["incarnation_id"], record["attempt_id"])
    Registry(engine).apply(Report("t", Succeeded(owner), who="gone@host", why="returned"))
    watched(engine)

    report = sweep(engine, app, make_settings(), by="sweep", prove_broker=True)

    assert told(report) == {}
    assert report.broker_works is True


# -- trouble -------------------------------------------------------------------------------------------------------


def test_a_task_that_cannot_be_closed_does_not_keep_the_others(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """What the database refuses about one task is told in one ERROR line, once; the others are closed."""
    for task in ("a", "b", "c"):
        start(task)
    watched(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE celery_task_registry ADD CHECK (task_id <> 'b' OR status <> 'REVOKED')"))
    caplog.set_level(logging.ERROR, logger="reference_impl")

    first = sweep(engine, app, make_settings(), by="sweep")
    second = sweep(engine, app, make_settings(), by="sweep", told=first.findings)

    revoked, failed = (Liveness.DEAD, "revoked"), (Liveness.DEAD, "failed")
    assert told(first) == {"a": revoked, "b": failed, "c": revoked}
    assert told(second) == {"b": failed}
    (line,) = [entry.getMessage() for entry in caplog.records]
    assert line.startswith("tracking: task mail.send[b] was not closed by sweep: CheckViolation: ")


def test_a_worker_does_not_doubt_itself(app: Celery, engine: Engine, make_settings: MakeSettings, start: Start) -> None:
    """A lease that has run out is no reason for a worker to take itself for dead, while it sweeps."""
    own = start("a", pid=os.getpid())
    watched(engine)

    by_itself = sweep(engine, app, make_settings(), by="sweep", own=own)
    by_another = sweep(engine, app, make_settings(), by="sweep")

    assert told(by_itself) == {"a": (Liveness.ALIVE, "none")}
    assert by_itself.findings[0].why == "it makes this sweep itself"
    assert told(by_another) == {"a": (Liveness.DEAD, "revoked")}


def test_a_worker_takes_a_lost_child_for_dead(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """A child of its own that is gone, and of whose task Celery has told nothing since, executes nothing any more."""
    own = start("gone", renewed_s_ago=0.0, pid=1)
    beats = "UPDATE celery_task_registry SET last_heartbeat = clock_timestamp() - make_interval(secs => :ago)"
    with engine.begin() as connection:
        connection.execute(text(beats), {"ago": 20.0})

    early = sweep(engine, app, make_settings(minimum_age_s=0), by="sweep", own=own)
    with engine.begin() as connection:
        connection.execute(text(beats), {"ago": 30.0})
    later = sweep(engine, app, make_settings(minimum_age_s=0), by="sweep", own=own)

    assert told(early) == {"gone": (Liveness.ALIVE, "none")}
    assert told(later) == {"gone": (Liveness.DEAD, "revoked")}
    assert later.findings[0].why == "the worker lives, and the child that executed it is gone"


def test_a_worker_that_cannot_be_judged_is_told_once(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """One WARNING line names the worker, how many tasks are left alone, and why; the next pass does not repeat it."""
    for task in ("a", "b"):
        start(task)

    first = sweep(engine, app, make_settings(), by="sweep")
    sweep(engine, app, make_settings(), by="sweep", told=first.findings)

    (line,) = [entry.getMessage() for entry in caplog.records if "unknown" in entry.getMessage()]
    assert "is unknown, its open tasks (2) are left alone: its lease has run out, but the sweeps have not" in line


def test_a_second_sweeper_leaves(app: Celery, engine: Engine, make_settings: MakeSettings, start: Start) -> None:
    """While one sweep is on, another one says so and does nothing; afterwards it can."""
    start()
    watched(engine)
    before = content(engine), rows(engine, SweepPulse)
    with engine.connect() as first:
        first.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ONE_SWEEPER})

        report = sweep(engine, app, make_settings(), by="second")
        meanwhile = content(engine), rows(engine, SweepPulse)
        first.execute(text("SELECT pg_advisory_unlock_all()"))

    assert report.skipped == "another sweep is running"
    assert report.findings == ()
    assert meanwhile == before
    assert sweep(engine, app, make_settings(), by="third").closed == 1


def test_a_sweep_that_waits_for_another_one_comes_next(engine: Engine) -> None:
    """It waits until the other is over, and no longer than it may; it holds nothing afterwards."""
    lock = {"key": ONE_SWEEPER}
    with engine.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(:key)"), lock)
        began = time.monotonic()
        await_other_sweeper(engine, 0.2)
        in_vain_s = time.monotonic() - began
        waiting = threading.Thread(target=await_other_sweeper, args=(engine, 30.0))
        waiting.start()
        other.execute(text("SELECT pg_advisory_unlock(:key)"), lock)
        waiting.join(10.0)

        assert 0.2 <= in_vain_s < 5.0
        assert not waiting.is_alive()
        assert other.execute(text("SELECT pg_try_advisory_lock(:key)"), lock).scalar_one()


def test_a_database_that_fails_is_heard_by_whoever_waits(engine: Engine) -> None:
    """A session that ends while it waits for another sweep is no other sweep, and raises."""
    end = text(
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database "
        "WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
    )

    def end_who_waits(other: Connection) -> None:
        await_until("a session that waits for the sweep", lambda: other.execute(end).scalar(), 10.0)

    with engine.connect() as other, ThreadPoolExecutor() as threads:
        other.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ONE_SWEEPER})
        ended = threads.submit(end_who_waits, other)

        with pytest.raises(OperationalError) as raised:
            await_other_sweeper(engine, 30.0)
        ended.result()

    assert raised.value.connection_invalidated


def test_a_pass_leaves_no_lock_behind(app: Celery, engine: Engine, make_settings: MakeSettings) -> None:
    """When a pass is over its lock is free, although its connection goes back to the pool."""
    sweep(engine, app, make_settings(), by="first")

    with engine.connect() as connection:
        held = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = current_database()"
        locks = connection.execute(text(f"{held} AND locktype = 'advisory'")).scalar_one()
    assert locks == 0


def test_the_task_for_beat_sweeps(app: Celery, engine: Engine, make_settings: MakeSettings, start: Start) -> None:
    """What the task `celery_tracker.sweep` runs is one pass; it returns how many tasks it closed."""
    for task in ("a", "b"):
        start(task)
    watched(engine)
    run = _sweep_task(app, make_settings())

    closed = [run(), run()]

    assert closed == [2, 0]
    assert {row["ended_by"] for row in rows(engine, TaskRecord)} == {"beat"}


def test_an_attempt_that_its_record_left_behind_is_closed_alone(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start
) -> None:
    """A dead worker's attempt, overtaken by a redelivery that runs, is over and counts as lost; nothing is told."""
    start()
    start(renewed_s_ago=0.0, redelivered=True)
    watched(engine)

    report = sweep(engine, app, make_settings(), by="sweep")

    attempts = sorted(rows(engine, Attempt), key=lambda row: bool(row["redelivered"]))
    assert [(row["lost"], row["ended_at"] is not None) for row in attempts] == [(True, True), (False, False)]
    assert told(report) == {"t": (Liveness.ALIVE, "none")}
    assert [row["status"] for row in rows(engine, TaskRecord)] == ["STARTED"]


@pytest.mark.parametrize(("asked", "action"), [(False, "reported as stuck"), (True, "would be asked to end")])
def test_a_task_without_progress_at_a_living_worker_is_told(
    app: Celery, engine: Engine, make_settings: MakeSettings, start: Start, *, asked: bool, action: str
) -> None:
    """It is stuck after `stuck_after_s`, and a dry run says what would be done about it."""
    start(renewed_s_ago=0.0)
    settings = make_settings(stuck_after_s=LONG_AGO_S / 2)

    report = sweep(engine, app, settings, by="sweep", revoke_stuck=asked, dry_run=asked)

    (found,) = report.findings
    assert (found.liveness, found.action, found.stuck) == (Liveness.ALIVE, action, True)
    assert "no progress for more than stuck_after_s (1800 s)" in found.why
