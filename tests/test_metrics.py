"""Metrics: counts harm nobody, survive the process that made them, and are served from all of them, or not at all."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from sqlalchemy import Engine

from harness._embedded_servers import free_port
from harness._servers import LOOPBACK
from reference_impl import metrics
from reference_impl.lifecycle import OPEN, Refusal, Status, Transition
from reference_impl.models import TaskRecord
from reference_impl.settings import Settings, load_settings

LIMIT_S = 30.0

Run = Callable[..., subprocess.CompletedProcess[str]]

SERVE = """
import os, sys, urllib.request
from reference_impl import load_settings, metrics

def scrape():
    with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics") as answer:
        return answer.read().decode()

settings = load_settings(database_url=sys.argv[2], metrics_port=int(sys.argv[1]))
metrics.serve(settings)
"""
FORK = """
pid = os.fork()
if pid == 0:
    metrics.tracking_failed(2)
    os.kill(os.getpid(), 9)
os.waitpid(pid, 0)
metrics.tracking_failed()
print(scrape())
"""
HEIR = """
import signal, socket
ready, tell = os.pipe()
if os.fork() == 0:
    os.write(tell, b"x")
    signal.pause()
os.read(ready, 1)
print("dying", flush=True)
os.kill(os.getpid(), 9)
"""
LATE = """
import os, sys
import prometheus_client
from reference_impl import load_settings, metrics
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[3]
metrics.serve(load_settings(database_url=sys.argv[2], metrics_port=int(sys.argv[1])))
"""


def counted(name: str, **labels: str) -> float:
    """The value of a sample of this process."""
    value = REGISTRY.get_sample_value(f"celery_tracker_{name}", labels)
    assert value is not None, f"there is no sample {name} with {labels}"
    return value


@pytest.fixture
def unreachable() -> str:
    """The URL of a database that is not there."""
    return f"postgresql://{LOOPBACK}:{free_port()}/registry"


@pytest.fixture
def mute() -> Iterator[str]:
    """The URL of a server that takes connections and never says a word."""
    with closing(socket.create_server((LOOPBACK, 0))) as listener:
        yield f"postgresql://{LOOPBACK}:{listener.getsockname()[1]}/registry"


@pytest.fixture
def run(outside: dict[str, str], unreachable: str, tmp_path: Path) -> Run:
    """Runs a script with a port and the URL of a database that is not there as its arguments."""

    def start(script: str, port: int, directory: Path | None) -> subprocess.CompletedProcess[str]:
        shared = {} if directory is None else {"PROMETHEUS_MULTIPROC_DIR": str(directory)}
        return subprocess.run(
            [sys.executable, "-c", script, str(port), unreachable, str(tmp_path)],
            env=outside | shared,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    return start


def collected(settings: Settings) -> tuple[list[Metric], float]:
    """What a scrape finds of the open tasks, and how long it took."""
    began = time.monotonic()
    found = list(metrics.RegistryFacts(settings).collect())
    return found, time.monotonic() - began


# -- counting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE, Status.REVOKED])
def test_an_end_is_counted_by_its_status(status: Status) -> None:
    """A transition to an end counts under its status."""
    before = counted("tasks_ended_total", status=status)

    metrics.decided(Transition(status))

    assert counted("tasks_ended_total", status=status) == before + 1


@pytest.mark.parametrize("decision", [None, Refusal("late"), *(Transition(status) for status in sorted(OPEN))])
def test_what_ends_nothing_is_not_counted_as_an_end(decision: Transition | Refusal | None) -> None:
    """Refusals, reports without a decision and other transitions count nowhere."""
    before = [counted("tasks_ended_total", status=status) for status in ("SUCCESS", "FAILURE", "REVOKED")]

    metrics.decided(decision)

    assert [counted("tasks_ended_total", status=status) for status in ("SUCCESS", "FAILURE", "REVOKED")] == before


@pytest.mark.parametrize(
    ("result", "seconds", "timed", "overran"),
    [("done", 0.5, 1, 0), ("done", 1.5, 1, 1), ("failed", 1.5, 1, 1), ("skipped", 1.5, 0, 0)],
)
def test_a_sweep_counts_by_its_result(result: str, seconds: float, timed: int, overran: int) -> None:
    """Its seconds, and that it took longer than the time to the next one, count unless another one swept."""
    names = ("sweep_seconds_count", "sweep_overruns_total")
    before = [counted(name) for name in names], counted("sweeps_total", result=result)

    metrics.swept(result, seconds, due_s=1.0)

    assert [counted(name) for name in names] == [before[0][0] + timed, before[0][1] + overran]
    assert counted("sweeps_total", result=result) == before[1] + 1


def test_who_counts_while_another_one_does_waits_for_nothing() -> None:
    """As from a signal handler that interrupts a count: it returns at once, and its count is made with the next."""
    before = counted("tracking_errors_total")

    with metrics._counting:
        metrics.tracking_failed()
        meanwhile = counted("tracking_errors_total")
    metrics.tracking_failed()

    assert meanwhile == before
    assert counted("tracking_errors_total") == before + 2


def test_counts_of_many_threads_are_all_made() -> None:
    """No count is lost between those who leave theirs to another one."""
    before = counted("tracking_errors_total")

    def count() -> None:
        for _ in range(500):
            metrics.tracking_failed()

    threads = [threading.Thread(target=count) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counted("tracking_errors_total") == before + 4000


def test_a_count_that_fails_is_told_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever counts never sees an exception, as of a directory that was removed; one ERROR line tells of it."""

    def fail() -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(metrics, "_broken", False)
    monkeypatch.setattr(metrics._stale, "inc", fail)
    with caplog.at_level(logging.ERROR):
        metrics.found_stale()
        metrics.found_stale()

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "counts of this process are lost to metrics: FileNotFoundError" in caplog.text


# -- serving -------------------------------------------------------------------------------------------------------


def test_no_port_serves_nothing(caplog: pytest.LogCaptureFixture, unreachable: str) -> None:
    """Without a port nothing is served, and nothing said."""
    threads = threading.active_count()

    metrics.serve(load_settings(database_url=unreachable))

    assert threading.active_count() == threads
    assert not caplog.records


def test_children_are_served_after_their_death(run: Run, tmp_path: Path) -> None:
    """What a child counted before it was killed is in its parent's scrape; a directory that is missing is made."""
    said = run(SERVE + FORK, free_port(), tmp_path / "made" / "for it")

    assert "\ncelery_tracker_tracking_errors_total 3.0\n" in said.stdout, said.stderr


def test_a_child_does_not_keep_the_port(run: Run, tmp_path: Path) -> None:
    """A worker that was killed, and whose child lives on, can be started again at its port."""
    port = free_port()
    script = "import signal; signal.alarm(20)" + SERVE
    with subprocess.Popen(
        [sys.executable, "-c", script + HEIR, str(port), "postgresql://", ""],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"dying\n"
        first.wait(LIMIT_S)

        said = run(SERVE + "print(scrape())", port, tmp_path)
        os.killpg(first.pid, 9)

    assert "celery_tracker_sweeps_total" in said.stdout, said.stderr


def test_a_port_that_is_taken_is_told(run: Run, tmp_path: Path) -> None:
    """One ERROR line says which address is taken and what to do, and the worker goes on."""
    with closing(socket.create_server((LOOPBACK, 0))) as taken:
        port = taken.getsockname()[1]
        said = run(SERVE + "print('went on')", port, tmp_path)

    assert said.stdout == "went on\n"
    assert f"not served at 127.0.0.1:{port}: Address already in use; give each worker" in said.stderr
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize("script", [SERVE, LATE])
def test_a_port_without_a_directory_is_told(run: Run, script: str) -> None:
    """One ERROR line says what to export, before what; a variable that was set too late does not help."""
    said = run(script + "print('went on')", free_port(), None)

    assert said.stdout == "went on\n"
    assert "export PROMETHEUS_MULTIPROC_DIR before the worker starts" in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_a_directory_that_cannot_be_is_refused(run: Run, tmp_path: Path) -> None:
    """A file in its place is a mistake that the application hears of when it is imported, by the variable's name."""
    (tmp_path / "file").touch()

    said = run(SERVE, free_port(), tmp_path / "file")

    assert "ConfigurationError: PROMETHEUS_MULTIPROC_DIR is" in said.stderr


# -- open tasks ----------------------------------------------------------------------------------------------------


def test_open_tasks_are_told_by_status(engine: Engine, registry_database: str) -> None:
    """Each open status has its number, 0 too; what has ended is not open."""
    with engine.begin() as connection:
        for number, status in enumerate(["PENDING", "PENDING", "STARTED", "SUCCESS"]):
            connection.execute(TaskRecord.__table__.insert().values(task_id=str(number), status=status))  # type: ignore[attr-defined]

    found, _ = collected(load_settings(database_url=registry_database))
    (told,) = (metric for metric in found if metric.name == metrics.OPEN_TASKS)

    assert {sample.labels["status"]: sample.value for sample in told.samples} == {
        "PENDING": 2,
        "STARTED": 1,
        "RETRY": 0,
    }


def test_open_tasks_are_left_out_where_nobody_answers(unreachable: str) -> None:
    """A database that is not there leaves the gauge out."""
    found, _ = collected(load_settings(database_url=unreachable))

    assert found == []


def test_a_mute_database_does_not_hold_a_scrape(mute: str) -> None:
    """A scrape of a database that takes the connection and says nothing ends within Prometheus' own time-out."""
    found, took_s = collected(load_settings(database_url=mute))

    assert found == []
    assert took_s < 10


def test_a_mute_database_is_asked_by_one_at_a_time(mute: str) -> None:
    """Scrape after scrape of a mute database leaves no more than one thread waiting for it."""
    before = threading.active_count()
    asked = metrics.RegistryFacts(load_settings(database_url=mute))

    scrapes = [threading.Thread(target=lambda: list(asked.collect())) for _ in range(4)]
    for scrape in scrapes:
        scrape.start()
    for scrape in scrapes:
        scrape.join()

    assert threading.active_count() <= before + 1
