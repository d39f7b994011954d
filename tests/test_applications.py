"""Applications of others, judged by the command that users type, from their own directories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from harness._toml_subject import read_subject

APPLICATIONS = Path(__file__).parent / "applications"
COMMAND = Path(sys.executable).with_name("celery-conformance")
BUGS = {
    "STALE-02": "json.dumps of whatever the arguments are: there is no record of what it refuses",
    "STALE-03": "arguments are stored however large they are",
    "STALE-05": "who does not answer one inspect is dead",
    "STALE-08": "the host's name in the place of the node's",
    "STALE-21": "a revocation is broadcast, and written down nowhere",
    "STALE-32": "an error without a message says nothing of the limit",
    "STALE-36": "the record of a publication that failed stays",
    "STALE-41": "a revoked task keeps neither who revoked it nor why",
    "RESULT-04": "Celery's own: what its serializer of results cannot take fails the work that was done",
    "RESULT-16": "Celery's own: a task that returned is a failure when the result backend is away for long",
}
"""What the registry written by hand does wrong, and Celery beside it."""
KEPT = {"STALE-04", "STALE-26", "STALE-27"}
"""What it does right, of what can be judged of it as a whole."""


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def conformance(outside: dict[str, str], tmp_path: Path) -> Run:
    """Runs `celery-conformance ...` in a copy of an application."""

    def run(application: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        place = tmp_path / application
        if not place.exists():
            shutil.copytree(APPLICATIONS / application, place)
        done = subprocess.run(
            [str(COMMAND), *arguments],
            cwd=place,
            env={**outside, **environment},
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    return run


def report(tmp_path: Path, application: str) -> Mapping[str, Any]:
    """What the last run there found."""
    found: Mapping[str, Any] = json.loads((tmp_path / application / ".conformance/latest/report.json").read_text())
    return found


def test_an_application_as_it_is(conformance: Run, tmp_path: Path) -> None:
    """Its own packages harness and scenarios stay its own; its settings say what can be judged."""
    done = conformance("plain", "run", "--app", "shop.celery:app", "--promise", "STALE-26", "--promise", "OPS-13")

    assert done.returncode == 0, done.stdout
    found = {row["id"]: row["verdict"] for row in report(tmp_path, "plain")["promises"]}
    assert found == {"STALE-26": "pass", "OPS-13": "skipped"}
    assert "skipped for lack of" in done.stdout
    assert (tmp_path / "plain/.conformance/latest/report.html").is_file()


def test_inside_pytest_a_subject_means_the_scenarios(outside: dict[str, str], tmp_path: Path) -> None:
    """Whatever the application's own tests are; these run as ever without a subject, with its own packages."""
    place = tmp_path / "plain"
    shutil.copytree(APPLICATIONS / "plain", place)
    (place / "pytest.ini").write_text("[pytest]\ntestpaths = own\npythonpath = .\n")
    (place / "own").mkdir()
    (place / "own/test_own.py").write_text("import harness\ndef test_own():\n    assert harness.ORDERS == 100\n")

    def run(*arguments: str) -> str:
        command = [str(COMMAND.with_name("pytest")), "-p", "no:schemathesis", "-p", "no:celery", *arguments]
        return subprocess.run(command, cwd=place, env=outside, capture_output=True, text=True, check=False).stdout

    assert "1 passed" in run("-q")
    assert "STALE-26  high      pass" in run("--subject=shop.celery:app", "--promise", "STALE-26")


def test_two_versions_of_celery_make_two_reports_and_a_comparison(conformance: Run, tmp_path: Path) -> None:
    """The subject runs with the version asked for; what changed is told."""
    chosen = ("--app", "shop.celery:app", "--promise", "STALE-26", "--jobs", "1")
    cache = {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))}

    runs = []
    for more in ((), ("--celery", "5.4.0")):
        assert conformance("plain", "run", *chosen, *more, **cache).returncode == 0
        runs.append(str((tmp_path / "plain/.conformance/latest").resolve()))
    told = conformance("plain", "compare", *runs)
    page = conformance("plain", "report", *runs, "-o", "both.html")

    assert told.returncode == 0
    assert "-> 5.4.0" in told.stdout
    assert "0 verdicts changed" in told.stdout
    assert page.returncode == 0
    assert "Celery 5.4.0" in (tmp_path / "plain/both.html").read_text()


def test_a_registry_written_by_hand_is_caught_on_its_bugs_and_on_nothing_else(conformance: Run, tmp_path: Path) -> None:
    """Every promise that it breaks is one of its bugs, and every bug is found."""
    done = conformance("hand_written", "run", "--subject", "subject.toml", "--jobs", "3")

    verdicts = {row["id"]: row["verdict"] for row in report(tmp_path, "hand_written")["promises"]}
    assert done.returncode == 1
    assert {name for name, verdict in verdicts.items() if verdict == "fail"} == BUGS.keys(), done.stdout[-4000:]
    assert {name for name, verdict in verdicts.items() if verdict == "pass"} == KEPT
    assert "unknown" not in verdicts.values()


def test_a_first_subject_file_can_be_used_at_once(conformance: Run, tmp_path: Path) -> None:
    """It loads, has what the settings allow, and is never written over."""
    made = conformance("plain", "init", "--app", "shop.celery:app")
    again = conformance("plain", "init", "--app", "shop.celery:app")

    subject = read_subject(tmp_path / "plain/subject.toml")
    assert made.returncode == 0
    assert subject.app == "shop.celery:app"
    assert subject.capabilities == {"record", "worker", "ends", "errors", "results", "result-ttl"}
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_a_result_backend_of_its_own_is_kept_and_only_its_results_are_asked_for(
    conformance: Run, tmp_path: Path
) -> None:
    """Its file can be used at once, says why it claims so little, and what a registry would add."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "own.py").write_text(
        "import celery\n"
        'app = celery.Celery("own")\n'
        'app.conf.update(result_backend="cache+memory://", task_track_started=True)\n'
    )

    made = conformance("plain", "init", "--app", "own:app")

    file = tmp_path / "plain/subject.toml"
    subject = read_subject(file)
    assert made.returncode == 0
    assert subject.own_result_backend
    assert subject.capabilities == {"results"}
    assert '# Not "ends": its records cannot be looked at; with a [registry] below, add it' in file.read_text()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("app.conf.broker_read_url = 'redis://db.shop.example:1/0'", "hard-codes its broker (db.shop.example:1)"),
        ("app.conf.task_always_eager = True", "task_always_eager: nothing would ever reach a worker"),
        ("app.conf.accept_content = ['pickle']", "does not accept JSON"),
        ("app.conf.task_create_missing_queues = False", "task_create_missing_queues"),
        ("app.backend_cls = 'cache+memory://'", "hard-codes its result backend"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_anything_starts(
    conformance: Run, tmp_path: Path, source: str, told: str
) -> None:
    """The message says what to change; the exit code is that of a wrong usage, and no server was started."""
    place = tmp_path / "shop"
    place.mkdir()
    (place / "tasks.py").write_text(f"from celery import Celery\napp = Celery('shop')\n{source}\n")

    done = conformance("shop", "run", "--app", "tasks:app")

    assert done.returncode == 2, done.stdout + done.stderr
    assert told in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run",), "name what to judge"),
        (("run", "--app", "nothing.here:app"), "No module named 'nothing'"),
        (("run", "--app", "shop.celery:app", "--promise", "STALE-9"), "did you mean 'STALE-09'"),
        (("run", "--app", "shop.celery:app", "--python", "nowhere"), "no interpreter there"),
        (("run", "--app", "shop.celery:app", "--celery", "5.4"), "expected a whole version"),
        (("run", "--app", "shop.celery:app", "--baseline", "none.toml"), "--write-baseline none.toml makes one"),
        (("compare", "a", "b"), "report a: cannot be read"),
        (("report", "a"), "report a: cannot be read"),
    ],
)
def test_a_wrong_call_ends_with_one_message(conformance: Run, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2, and what to do next."""
    done = conformance("plain", *arguments)

    assert done.returncode == 2
    assert told in done.stdout + done.stderr


def test_the_version_is_told(conformance: Run) -> None:
    """For a report of a bug, and for a script that needs a certain one."""
    done = conformance("plain", "--version")

    assert (done.returncode, done.stdout) == (0, f"celery-conformance {version('celery-conformance')}\n")
