"""The commands that ask the API, as processes of their own against a real one: what they print, and exit codes."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from harness._embedded_servers import free_port
from harness._servers import LOOPBACK
from reference_impl.cli_tasks import (
    EXIT_EXPIRED,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_TIMED_OUT,
    EXIT_UNKNOWN,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
)
from reference_impl.client import NotReadyError, TrackerClient, UnreachableError
from reference_impl.lifecycle import Owner, Progressed, Started, Succeeded
from reference_impl.registry import Registry
from reference_impl.reports import Report
from tests.conftest import API_TOKEN, Tracker


@pytest.fixture
def ask(tracker: Tracker, api_url: str) -> Tracker:
    """Runs `celery-tracker tasks ...` against that API."""
    given = {"CELERY_TRACKER_URL": api_url, "CELERY_TRACKER_TOKEN": API_TOKEN}
    return lambda *arguments, **other: tracker("tasks", *arguments, **given | other)


@pytest.mark.usefixtures("lives")
def test_a_result_is_printed_as_json_alone(ask: Tracker) -> None:
    """What the task returned, fit for a pipe."""
    run = ask("result", "done")

    assert (run.returncode, run.stdout) == (0, '{"sent":[1,2]}\n')


@pytest.mark.usefixtures("lives")
@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("result", "failed"), EXIT_FAILED, "ValueError: no such town"),
        (("wait", "failed"), EXIT_FAILED, ""),
        (("result", "nobody"), EXIT_UNKNOWN, "no task 'nobody' is known"),
        (("result", "expired"), EXIT_EXPIRED, "expired at 20"),
        (("result", "waiting"), EXIT_TIMED_OUT, "waiting is PENDING after 0 s; it goes on"),
        (("wait", "waiting", "--timeout=0.3"), EXIT_TIMED_OUT, "PENDING after 0.3 s"),
        (("cancel", "done"), EXIT_FAILED, "has ended already"),
        (("list", "--status=LOST"), EXIT_USAGE, "LOST"),
    ],
)
def test_each_end_has_its_exit_code(ask: Tracker, arguments: tuple[str, ...], exit_code: int, said: str) -> None:
    """Failed, unknown, expired, out of time, usage: each has a code, and a line that says why."""
    run = ask(*arguments)

    assert run.returncode == exit_code
    assert said in run.stderr


@pytest.mark.usefixtures("lives")
def test_statuses_have_the_names_of_the_api(ask: Tracker, api_url: str) -> None:
    """`get --json` prints what the API answers; the table has the same names."""
    with TrackerClient(api_url, API_TOKEN) as client:
        told = client.status("failed").model_dump(mode="json")
    run, table = ask("get", "failed", "--json"), ask("get", "failed")

    assert json.loads(run.stdout) == told
    assert "error.message" in table.stdout
    assert "no such town" in table.stdout


@pytest.mark.usefixtures("lives")
def test_tasks_are_listed(ask: Tracker) -> None:
    """The newest first, narrowed by status, name and number."""
    run, table = ask("list", "--json"), ask("list", "--status=FAILURE", "--status=SUCCESS", "--limit=2")

    assert [task["task_id"] for task in json.loads(run.stdout)] == ["waiting", "failed", "expired", "done"]
    assert "waiting" not in table.stdout
    assert table.stdout.endswith("2 tasks, the newest 2\n")
    assert json.loads(ask("list", "--name=other", "--json").stdout) == []


@pytest.mark.usefixtures("lives")
def test_a_waiting_task_is_cancelled(ask: Tracker) -> None:
    """`cancel` prints what has become of it."""
    run = ask("cancel", "waiting", "--json")

    assert run.returncode == 0
    assert json.loads(run.stdout)["status"] == "REVOKED"


def test_an_api_that_is_not_there_is_told_in_a_line(ask: Tracker) -> None:
    """Where to look is said, and how to say it."""
    run = ask("get", "t", CELERY_TRACKER_URL=f"http://{LOOPBACK}:{free_port()}")

    assert run.returncode == EXIT_UNREACHABLE
    assert "no answer from http://127.0.0.1:" in run.stderr
    assert "celery-tracker api" in run.stderr


def test_a_token_is_needed_and_has_to_be_right(ask: Tracker) -> None:
    """None and a wrong one are usage errors that name the variable."""
    runs = [ask("get", "t", CELERY_TRACKER_TOKEN=token) for token in ("", "wrong")]

    assert [run.returncode for run in runs] == [EXIT_USAGE, EXIT_USAGE]
    assert all("CELERY_TRACKER_TOKEN" in run.stderr for run in runs)


def test_waiting_ends_with_the_task(api_url: str, lives: Registry) -> None:
    """The client is told of the end when it comes; a limit that is over before is an error with the last status."""
    owner = Owner(uuid4(), uuid4())
    ending = threading.Timer(0.3, lambda: lives.apply(Report("waiting", Succeeded(owner), "w1@host", "as told")))
    with TrackerClient(api_url, API_TOKEN) as client:
        with pytest.raises(NotReadyError) as ran_out:
            client.wait("waiting", 0.1)
        ending.start()
        began = time.monotonic()
        status = client.wait("waiting", 30)

    assert ran_out.value.status.status == "PENDING"
    assert status.successful
    assert time.monotonic() - began < 10


def test_a_terminal_shows_a_bar_and_ctrl_c_ends_the_waiting_alone(
    outside: dict[str, str], tmp_path: Path, api_url: str, lives: Registry
) -> None:
    """What the task says of itself is drawn as it comes; Ctrl-C leaves it alone, says so, and has a code of its own."""
    owner, far = Owner(uuid4(), uuid4()), {"current": 1, "total": 4, "message": "one of four"}
    lives.apply(Report("waiting", Started(owner), "w1@host", "as told"))
    ours, theirs = pty.openpty()
    given = {"CELERY_TRACKER_URL": api_url, "CELERY_TRACKER_TOKEN": API_TOKEN, "TERM": "xterm", "COLUMNS": "100"}
    waiting = subprocess.Popen(
        [sys.executable, "-m", "reference_impl", "tasks", "wait", "waiting"],
        cwd=tmp_path,
        env=outside | given,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as screen:
        drawn = read_until(screen, "STARTED")
        lives.apply(
            Report("waiting", Progressed(owner), "w1@host", "as told", progress={"state": "PROGRESS", "meta": far})
        )
        drawn += read_until(screen, "25%")
        os.kill(waiting.pid, signal.SIGINT)
        drawn += read_until(screen, "it goes on")
        exit_code = waiting.wait(10)
    with TrackerClient(api_url, API_TOKEN) as client:
        status = client.status("waiting")

    assert "one of four" in drawn
    assert "━" in drawn
    assert "Ctrl-C" in drawn
    assert exit_code == EXIT_INTERRUPTED
    assert "Traceback" not in drawn
    assert status.status == "STARTED"


def read_until(screen: Any, text: str) -> str:
    """What is drawn until this is; for ten seconds at most."""
    drawn, deadline = b"", time.monotonic() + 10
    while text not in drawn.decode(errors="replace"):
        left = deadline - time.monotonic()
        assert left > 0, f"no {text!r} in {drawn.decode(errors='replace')!r}"
        if select.select([screen], [], [], left)[0]:
            drawn += screen.read(4096)
    return drawn.decode(errors="replace")


def test_something_else_at_the_url_is_no_tracker(servers: Any) -> None:
    """An address that answers in another language is told as such."""
    with TrackerClient(f"http://{LOOPBACK}:{servers.redis.port}", API_TOKEN) as client, pytest.raises(UnreachableError):
        client.status("t")
