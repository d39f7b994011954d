"""What the keeper sees of its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from harness._processes import await_until
from reference_impl.keeper import Charge, _running_pids

FAMILY = """
import subprocess, sys, threading
children = []
def beget():
    children.append(subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]))
    born.release()
    threading.Event().wait()
born = threading.Semaphore(0)
for _ in range(2):
    threading.Thread(target=beget, daemon=True).start()
for _ in range(2):
    born.acquire()
children.append(subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]))
print(*[child.pid for child in children], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def family() -> Iterator[tuple[int, list[int]]]:
    """A process with children of several of its threads: its number, and theirs."""
    command = [sys.executable, "-c", FAMILY]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert parent.stdin is not None
    assert parent.stdout is not None
    yield parent.pid, [int(word) for word in parent.stdout.readline().split()]
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdin.close()
    parent.stdout.close()


def charge(pid: int) -> Charge:
    """A keeper's charge."""
    return Charge("", "", "a@b", pid, psutil.Process(pid).create_time(), 1.0, 3.0)


def stop(pid: int) -> None:
    """Stop it, and wait until the kernel shows it so."""
    os.kill(pid, signal.SIGSTOP)
    await_until("the stop", lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, 10)


def test_a_running_worker_and_its_children_are_seen(family: tuple[int, list[int]]) -> None:
    """The worker, and each child, whichever of its threads started it."""
    parent, children = family

    assert sorted(_running_pids(charge(parent))) == sorted([parent, *children])


def test_a_stopped_child_is_left_out(family: tuple[int, list[int]]) -> None:
    """A child that is stopped is not running; its siblings are."""
    parent, (stopped, *others) = family
    stop(stopped)

    assert sorted(_running_pids(charge(parent))) == sorted([parent, *others])


def test_of_a_stopped_worker_nothing_runs(family: tuple[int, list[int]]) -> None:
    """While the worker's main process is stopped, none of its tasks has a sign of life."""
    parent, _ = family
    stop(parent)

    assert _running_pids(charge(parent)) == []


def test_of_a_worker_that_is_gone_nothing_runs(family: tuple[int, list[int]]) -> None:
    """A process number without a process is no worker."""
    parent, _ = family
    gone = charge(parent)
    os.killpg(parent, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(parent)], timeout=10)

    assert _running_pids(gone) == []
