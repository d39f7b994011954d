"""Agents on a real Postgres and a real Redis: who has an agent, who lets it go, and what is left behind."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import Engine, text

from harness._servers import Servers, open_redis, redis_url
from reference_impl import agent_memory, agent_run
from reference_impl.agent_progress import KEY, AgentProgress, ProgressAwayError, open_progress
from reference_impl.agent_rows import AgentWord, Step, agents
from reference_impl.agents import Agents
from reference_impl.agreement import Disagreement, Kind, doubted, find_disagreements, mend
from reference_impl.incarnation import Identity, register
from reference_impl.lifecycle import (
    Cancelled,
    Event,
    Failed,
    HandedBack,
    Owner,
    Progressed,
    Published,
    Retrying,
    Revoked,
    Started,
    Succeeded,
    WorkerLost,
)
from reference_impl.registry import Registry
from reference_impl.reports import Report
from reference_impl.settings import load_settings

DATABASE = 4001
OF_NOBODY = "redis://127.0.0.1:1/0"


class Life:
    """One execution of a task, which runs an agent."""

    def __init__(self, registry: Registry, task_id: str) -> None:
        self._registry = registry
        self.task_id, self.owner = task_id, Owner(uuid.uuid4(), uuid.uuid4())
        self.tell(Published())
        self.tell(Started(self.owner))

    def tell(self, event: Event, **said: Any) -> None:
        """Report an event of it."""
        self._registry.apply(Report(self.task_id, event, "w1", "as told", **said))

    def say(self, step: Step, name: str = "planner", **said: Any) -> None:
        """Have it say something of its agent."""
        self.tell(Progressed(self.owner), agent=AgentWord(name, step), **said)


@pytest.fixture
def begin(engine: Engine) -> Callable[[str], Life]:
    """Begins a task that runs the agent `planner`."""

    def life(task_id: str) -> Life:
        begun = Life(Registry(engine), task_id)
        begun.say(Step.BEGINS)
        return begun

    return life


@pytest.fixture
def progress(servers: Servers) -> AgentProgress:
    """Where progress is kept, empty."""
    with closing(open_redis(servers.redis, DATABASE)) as client:
        client.flushdb()
    return AgentProgress(redis_url(servers.redis, DATABASE), load_settings(database_url=OF_NOBODY))


def planner(engine: Engine) -> dict[str, Any]:
    """Its row."""
    with engine.connect() as connection:
        (row,) = agents(connection, "planner")
    return dict(row._mapping)


def disagreements(engine: Engine, progress: AgentProgress | None, *, older_s: float = 0.0) -> list[Disagreement]:
    """What does not agree, and is older than that."""
    with engine.connect() as connection:
        return list(find_disagreements(connection, progress, minimum_age_s=older_s))


def test_a_run_links_record_and_agent(engine: Engine, begin: Callable[[str], Life]) -> None:
    """The record names the agent, the agent the task; a phase is shown as long as the run lasts."""
    life = begin("t")
    life.tell(Progressed(life.owner), agent=AgentWord("planner", Step.CONTINUES, phase="reading"))

    row = planner(engine)

    assert (row["is_running"], row["current_task_id"], row["current_phase_message"]) == (True, "t", "reading")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT agent FROM celery_task_registry")).scalar_one() == "planner"


def test_an_older_run_does_not_end_a_newer_one(engine: Engine, begin: Callable[[str], Life]) -> None:
    """What the older one says of its end, or of its phase, changes nothing; the newer one's end does."""
    older, newer = begin("older"), begin("newer")
    older.say(Step.CONTINUES)
    older.say(Step.ENDS)
    older.tell(Succeeded(older.owner))
    under_the_newer = planner(engine)
    newer.say(Step.ENDS)

    assert under_the_newer["current_task_id"] == "newer"
    assert (planner(engine)["is_running"], planner(engine)["last_task_id"]) == (False, "newer")


def test_a_beginning_that_comes_late_does_not_take_the_agent_back(engine: Engine) -> None:
    """A report that was kept through an outage is older than the run that began meanwhile."""
    registry = Registry(engine)
    late, newer = Life(registry, "late"), Life(registry, "newer")
    newer.say(Step.BEGINS)
    late.say(Step.BEGINS, happened=0.0)

    assert planner(engine)["current_task_id"] == "newer"


@pytest.mark.parametrize(
    "end",
    [
        Succeeded,
        Failed,
        HandedBack,
        Retrying,
        lambda _: Revoked(terminated=True),
        lambda owner: Cancelled(owner, redeliver=True),
        lambda owner: WorkerLost(owner.attempt_id, redeliver=False),
    ],
)
def test_a_record_that_is_left_lets_its_agents_go(
    engine: Engine, begin: Callable[[str], Life], end: Callable[[Owner], Event]
) -> None:
    """However an execution ends, and whoever tells of it: in the same transaction, with the error."""
    life = begin("t")
    life.tell(end(life.owner), error_message="no such town")

    row = planner(engine)

    assert (row["is_running"], row["current_task_id"], row["current_phase_message"]) == (False, None, None)
    assert row["last_error"] == "no such town"


def test_transitions_are_lines_for_a_program(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """One line each, with JSON at its end; what changes nothing is not told."""
    caplog.set_level(logging.INFO, "reference_impl.transitions")
    life = Life(Registry(engine), "t")
    life.say(Step.BEGINS)
    life.say(Step.CONTINUES)
    life.tell(Succeeded(life.owner))

    told = [json.loads(message[message.index("{") :]) for message in caplog.messages]

    assert [(each.get("agent"), each["from"], each["to"]) for each in told] == [
        (None, None, "PENDING"),
        (None, "PENDING", "STARTED"),
        ("planner", "idle", "running"),
        (None, "STARTED", "SUCCESS"),
        ("planner", "running", "idle"),
    ]
    assert {each["task_id"] for each in told} == {"t"}


def test_what_agrees_is_left_alone(engine: Engine, begin: Callable[[str], Life], progress: AgentProgress) -> None:
    """A run that lasts, with its progress, however old."""
    life = begin("t")
    progress.put("t", life.owner.attempt_id, None, "planner", 1.0, {"current": 1})

    assert disagreements(engine, progress) == []
    assert mend(engine, progress, minimum_age_s=0, alive=(), by="test") == []
    assert progress.of(["t"])["t"].told == {"current": 1}


def test_each_kind_of_disagreement_is_named_and_mended_once(
    engine: Engine, begin: Callable[[str], Life], progress: AgentProgress
) -> None:
    """A row whose task has ended, one whose record is missing, progress of either, and what is no entry at all."""
    gone, lost = Life(Registry(engine), "gone"), Life(Registry(engine), "lost")
    gone.say(Step.BEGINS, "gone")
    lost.say(Step.BEGINS, "lost")
    for life in (gone, lost):
        progress.put(life.task_id, life.owner.attempt_id, None, life.task_id, progress.now() - 60, {})
    with engine.begin() as connection:
        connection.execute(text("UPDATE celery_task_registry SET status = 'SUCCESS' WHERE task_id = 'gone'"))
        connection.execute(text("DELETE FROM celery_task_registry WHERE task_id = 'lost'"))
    begin("live")

    found = {(each.kind, each.task_id) for each in mend(engine, progress, minimum_age_s=0, alive=(), by="test")}

    assert found == {
        (Kind.RUNNING_WITHOUT_TASK, "gone"),
        (Kind.POINTS_AT_NOTHING, "lost"),
        (Kind.PROGRESS_WITHOUT_TASK, "gone"),
        (Kind.PROGRESS_WITHOUT_TASK, "lost"),
    }
    assert mend(engine, progress, minimum_age_s=0, alive=(), by="test") == []
    assert planner(engine)["current_task_id"] == "live"


def test_what_may_be_on_its_way_is_left_alone(
    engine: Engine, begin: Callable[[str], Life], progress: AgentProgress
) -> None:
    """A run whose record is not there yet, and the progress of another attempt, until they are old."""
    progress.put("early", uuid.uuid4(), None, "planner", progress.now(), {})
    begin("t")
    progress.put("t", uuid.uuid4(), None, "planner", progress.now(), {})

    assert disagreements(engine, progress, older_s=60) == []
    assert {each.task_id for each in disagreements(engine, progress)} == {"early", "t"}


def test_a_worker_that_may_live_keeps_its_progress(engine: Engine, progress: AgentProgress) -> None:
    """The registry has not heard of its run: as long as it holds its lease or answers, and while nobody was asked."""
    cut_off, away = Identity(uuid.uuid4(), "w1@host", 1), load_settings(database_url=OF_NOBODY)
    register(engine, cut_off, lease_s=60)
    progress.put("t", uuid.uuid4(), cut_off.incarnation_id, "planner", progress.now() - 60, {})

    with_a_lease = disagreements(engine, progress)
    with engine.begin() as connection:
        connection.execute(text("UPDATE celery_worker_incarnation SET renewed_at = '-infinity'"))
        asked = doubted(connection, progress, minimum_age_s=away.minimum_age_s)
    mended = [
        mend(engine, progress, minimum_age_s=0, alive=alive, by="test")
        for alive in (None, {str(cut_off.incarnation_id)}, set())
    ]

    assert with_a_lease == []
    assert asked == {str(cut_off.incarnation_id)}
    assert [len(each) for each in mended] == [0, 0, 1]


def test_progress_belongs_to_an_attempt(progress: AgentProgress) -> None:
    """Another attempt of the same task does not drop it; its own does, once."""
    mine = uuid.uuid4()
    progress.put("t", mine, None, "planner", progress.now(), {})

    assert not progress.drop("t", uuid.uuid4())
    assert progress.drop("t", mine)
    assert not progress.drop("t", mine)


def test_what_is_no_entry_belongs_to_nobody(engine: Engine, progress: AgentProgress, servers: Servers) -> None:
    """Whatever somebody else puts there is as old as can be, and is named."""
    with closing(open_redis(servers.redis, DATABASE)) as client:
        client.hset(KEY, mapping={"a": "no json", "b": "[1]", "c": '{"attempt_id": 7}'})

    assert {each.task_id for each in disagreements(engine, progress, older_s=60)} == {"a", "b", "c"}
    assert len(mend(engine, progress, minimum_age_s=60, alive=(), by="test")) == 3


def test_without_redis_the_rest_is_mended(engine: Engine, begin: Callable[[str], Life]) -> None:
    """Rows are let go all the same; what could not be looked at is left to another time."""
    life = begin("t")
    away = AgentProgress(OF_NOBODY, load_settings(database_url=OF_NOBODY))
    with engine.begin() as connection:
        connection.execute(text("UPDATE celery_task_registry SET status = 'SUCCESS'"))

    mended = mend(engine, away, minimum_age_s=0, alive=(), by="test")

    assert [each.kind for each in mended] == [Kind.RUNNING_WITHOUT_TASK]
    with pytest.raises(ProgressAwayError):
        away.drop("t", life.owner.attempt_id)


@pytest.mark.parametrize("name", ["", "a" * 256, "a\nb", "a/b"])
def test_a_name_is_refused_that_nobody_could_ask_for(name: str) -> None:
    """It says what a name is."""
    with pytest.raises(ValueError, match="printable characters and no /"), agent_run(name):
        pass


class _Said(list[Report]):
    """Stands where a recorder does, and keeps what it is told."""

    def record(self, report: Report) -> None:
        """What is waited for."""
        self.append(report)

    note = record


@pytest.fixture
def said() -> Iterator[tuple[Celery, _Said]]:
    """An application that runs tasks where they are called, and what its agents' runs say."""
    app, heard = Celery("eager", set_as_current=False), _Said()
    app.conf.task_always_eager = True
    app.tracking_agents = Agents(app, load_settings(database_url=OF_NOBODY), heard, lambda: "test")  # type: ignore[arg-type]
    yield app, heard
    app.close()


def test_a_run_may_speak_from_another_thread(said: tuple[Celery, _Said]) -> None:
    """Another thread of a task has no current task, and tells of phase and progress all the same."""
    app, heard = said

    @app.task
    def work() -> None:
        with agent_run("planner") as run, ThreadPoolExecutor(1) as pool:
            pool.submit(run.phase, "reading").result()
            pool.submit(run.progress, 1, 2).result()

    work.delay().get()

    assert [each.agent.step if each.agent else each.progress["meta"]["current"] for each in heard] == [
        Step.BEGINS,
        Step.CONTINUES,
        1,
        Step.ENDS,
    ]


def test_a_task_runs_one_agent_at_a_time(said: tuple[Celery, _Said]) -> None:
    """One within another is refused, and the outer one goes on; one after the other is fine."""
    app, heard = said

    @app.task
    def work() -> None:
        with agent_run("planner"), pytest.raises(RuntimeError, match="runs 'planner'"), agent_run("critic"):
            pass
        with agent_run("critic"):
            pass

    work.delay().get()

    assert [(each.agent.name, each.agent.step) for each in heard if each.agent] == [
        ("planner", Step.BEGINS),
        ("planner", Step.ENDS),
        ("critic", Step.BEGINS),
        ("critic", Step.ENDS),
    ]


@pytest.mark.parametrize(
    ("error", "ends"), [(TimeoutError("late"), True), (GeneratorExit(), True), (SystemExit(1), False)]
)
def test_a_run_ends_however_its_block_is_left(said: tuple[Celery, _Said], error: BaseException, *, ends: bool) -> None:
    """Only where the process ends is the word left to who ended it; nothing is remembered in any case."""
    app, heard = said

    @app.task
    def work() -> None:
        with suppress(type(error)), agent_run("planner") as run:
            run.memory["town"] = "Bern"
            raise error

    work.delay().get()

    assert (heard[-1].agent is not None and heard[-1].agent.step is Step.ENDS) is ends
    assert agent_memory("planner") == {}


def test_outside_a_task_there_is_no_run() -> None:
    """It says so; nothing is remembered."""
    with pytest.raises(RuntimeError, match="there is none"), agent_run("planner"):
        pass
    assert agent_memory("planner") == {}


@pytest.mark.parametrize("url", [None, "disabled", "rpc://", "db+postgresql://h/d"])
def test_without_redis_as_result_backend_there_is_no_progress(url: str | None) -> None:
    """Where else it could be kept is nobody's guess."""
    app = Celery("without", backend=url, set_as_current=False)

    assert open_progress(app, load_settings(database_url=OF_NOBODY)) is None
