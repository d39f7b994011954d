"""Runs that end badly: killed, interrupted, or broken at set-up. Nothing of them stays, and no verdict is made up."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from harness._processes import await_until
from harness._scratch import processes_of
from tests.conftest import Launch, RunPytest

HOLDS_A_TASK = "test_force_does_not_replace_the_lease"
ALSO_HOLDS_ONE = "test_a_busy_solo_worker"
QUICK = "test_nobody_can_know"
WITHIN_S = 60.0


def is_worker(process: psutil.Process) -> bool:
    """Whether it is a worker or its client: what the fork server forked, or what has a worker's command line."""
    try:
        parent = process.parent()
        forked = parent is not None and any("forkserver" in word for word in parent.cmdline())
        return forked or "worker" in process.cmdline()
    except psutil.Error:
        return False


def busy(scratch_root: Path) -> list[Path]:
    """The runs in which a worker exists."""
    return [run for run in scratch_root.iterdir() if any(map(is_worker, processes_of(run)))]


def await_workers(run: subprocess.Popen[str], scratch_root: Path, runs: int = 1) -> list[Path]:
    """Wait until so many of the run's processes have a worker each."""

    def gone() -> str | None:
        return f"pytest ended with exit code {run.returncode}" if run.poll() is not None else None

    def look() -> list[Path] | None:
        found = busy(scratch_root)
        return found if len(found) >= runs else None

    return await_until("a worker of the run", look, WITHIN_S, gone)


def test_the_next_start_removes_what_a_killed_run_left(
    launch: Launch, run_pytest: RunPytest, scratch_root: Path
) -> None:
    """A run killed in the middle of a scenario leaves processes; the next start ends them, deletes, and says so."""
    killed = launch("scenarios", "-k", HOLDS_A_TASK)
    (left,) = await_workers(killed, scratch_root)
    killed.kill()
    killed.wait()
    survivors = processes_of(left)

    following = run_pytest("scenarios", "-k", QUICK)

    assert survivors != []
    assert following.returncode == 0, following.stdout
    assert f"removed the leftovers of 1 dead runs: {left.name}" in following.stdout
    assert not any(process.is_running() for process in survivors)
    assert processes_of(left) == []
    assert list(scratch_root.iterdir()) == []


def test_workers_that_are_killed_leave_no_temporary_files(run_pytest: RunPytest, tmp_path: Path) -> None:
    """What a worker had no time to tidy up goes with the run, not into the system's temporary directory."""
    run = run_pytest("scenarios", "-k", HOLDS_A_TASK, TMPDIR=str(tmp_path))

    assert run.returncode == 0, run.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("helpers", [0, 2], ids=["alone", "with helpers"])
def test_an_interrupted_run_cleans_up_after_itself(launch: Launch, scratch_root: Path, helpers: int) -> None:
    """Ctrl-C in the middle of a scenario: when the prompt is back, no process and no file of the run is left."""
    arguments = ["-n", str(helpers)] if helpers else []
    run = launch("scenarios", "-k", f"{HOLDS_A_TASK} or {ALSO_HOLDS_ONE}", *arguments)
    directories = await_workers(run, scratch_root, max(1, helpers))

    os.killpg(run.pid, signal.SIGINT)  # what a terminal sends: to pytest and its helpers alike
    said, _ = run.communicate(timeout=WITHIN_S)

    assert run.returncode == pytest.ExitCode.INTERRUPTED, said
    assert "INTERNALERROR" not in said
    assert [process for directory in directories for process in processes_of(directory)] == []
    assert list(scratch_root.iterdir()) == []


def script(path: Path, version: str, last_words: str) -> Path:
    """A program that tells its version, and otherwise dies with its last words."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(
        f"#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}'; exit 0; fi\necho '{last_words}'\nexit 1\n"
    )
    path.chmod(0o755)
    return path


def test_a_server_that_dies_at_set_up_is_no_verdict_on_the_subject(
    run_pytest: RunPytest, project: Path, scratch_root: Path, tmp_path: Path
) -> None:
    """A server that does not come up is told with its last words, as a broken set-up and not as a failure."""
    server = script(tmp_path / "bin" / "redis-server", "Redis server v=7.2.4 sha=0:0 bits=64", "no memory for me")

    run = run_pytest("scenarios", "-k", QUICK, f"--redis-server={server}")

    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout
    assert "Redis 7.2.4" in run.stdout
    assert "STALE-08: unknown: broken set-up: redis-" in run.stdout
    assert "it ended with exit code 1" in run.stdout
    assert "no memory for me" in run.stdout
    assert "\n1 unknown\n" in run.stdout
    assert "Traceback" not in run.stdout
    assert list(scratch_root.iterdir()) == []
    assert "no memory for me" in next((project / ".conformance" / "latest" / "servers").iterdir()).read_text()


def test_a_set_up_that_breaks_halfway_leaves_nothing(run_pytest: RunPytest, scratch_root: Path, tmp_path: Path) -> None:
    """When Postgres cannot be made after Redis has started, Redis is ended too, and the run ends like any other."""
    version = "postgres (PostgreSQL) 17.2"
    binaries = script(tmp_path / "install" / "bin" / "postgres", version, "").parent
    script(binaries / "initdb", version, "no room for me")

    run = run_pytest("scenarios", "-k", QUICK, f"--postgres-bin={binaries}")

    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout
    assert "STALE-08: unknown: broken set-up: initdb failed in " in run.stdout, run.stdout
    assert "no room for me" in run.stdout
    assert "Traceback" not in run.stdout
    assert list(scratch_root.iterdir()) == []
