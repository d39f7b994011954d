"""Scratch directories: what a dead run left behind is found by its label and removed, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness import SetupBroken
from harness._scratch import LABEL, Scratch, default_root, processes_of, remove_run, sweep_leftovers

Sleeper = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root for scratch directories of this test alone."""
    return tmp_path / "root"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Sleeper]:
    """Starts real processes that would outlive the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(label: Path | None = None, directory: Path | None = None) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if name != LABEL}
        process = subprocess.Popen(
            ["sleep", "600"],
            env=inherited | ({LABEL: str(label)} if label else {}),
            cwd=directory or tmp_path,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def disown(path: Path) -> None:
    """Let the run's owner be a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (path / "owner.json").write_text(json.dumps({"pid": ended.pid, "created": time.time()}))


def gone(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process ended within its deadline."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_a_scratch_directory_names_its_owner(root: Path) -> None:
    """A new scratch directory belongs to this process, told by its id and the moment of its creation."""
    scratch = Scratch(root, "run-1")

    owner = json.loads((scratch.path / "owner.json").read_text())
    assert owner == {"pid": os.getpid(), "created": psutil.Process().create_time()}
    assert scratch.path == root / "run-1"


def test_the_leftovers_of_a_dead_run_are_swept(root: Path, sleeper: Sleeper) -> None:
    """A run whose owner is dead is removed with its processes, labelled by environment or by directory."""
    path = Scratch(root, "dead").path
    (path / "data").mkdir()
    by_label, by_directory = sleeper(label=path), sleeper(directory=path / "data")
    disown(path)

    swept = sweep_leftovers(root)

    assert swept == ["dead"]
    assert not path.exists()
    assert gone(by_label)
    assert gone(by_directory)


def test_a_stopped_process_of_a_dead_run_is_swept(root: Path, sleeper: Sleeper) -> None:
    """A process that a fault had frozen when its run died is ended too."""
    path = Scratch(root, "dead").path
    frozen = sleeper(label=path)
    psutil.Process(frozen.pid).suspend()
    disown(path)

    sweep_leftovers(root)

    assert gone(frozen)


def test_a_run_whose_owner_lives_is_left_alone(root: Path, sleeper: Sleeper) -> None:
    """A run in progress keeps its directory and its processes."""
    scratch = Scratch(root, "alive")
    process = sleeper(label=scratch.path)

    swept = sweep_leftovers(root)

    assert swept == []
    assert scratch.path.exists()
    assert process.poll() is None


def test_sweeping_one_run_leaves_the_next_alone(root: Path, sleeper: Sleeper) -> None:
    """Of two runs only the dead one is swept, although its name is the beginning of the other's."""
    dead, alive = Scratch(root, "run-1").path, Scratch(root, "run-12").path
    process = sleeper(label=alive, directory=alive)
    disown(dead)

    swept = sweep_leftovers(root)

    assert swept == ["run-1"]
    assert alive.exists()
    assert process.poll() is None


def test_a_process_number_that_is_used_again_owns_nothing(root: Path) -> None:
    """An owner of the same process id that began at another time is another process: the run is dead."""
    path = Scratch(root, "reused").path
    (path / "owner.json").write_text(json.dumps({"pid": os.getpid(), "created": 1.0}))

    assert sweep_leftovers(root) == ["reused"]


@pytest.mark.parametrize("owner", ["", "{", "{}", "[]", '{"pid": "abc", "created": 1}', '{"pid": -1, "created": 1}'])
def test_a_run_that_died_while_it_wrote_its_owner_is_swept(root: Path, owner: str) -> None:
    """An owner that cannot be read is no owner."""
    path = Scratch(root, "torn").path
    (path / "owner.json").write_text(owner)

    assert sweep_leftovers(root) == ["torn"]


def test_what_is_no_run_is_left_alone(root: Path) -> None:
    """A directory without an owner's file, and a plain file, are not the harness's to remove."""
    (root / "foreign").mkdir(parents=True)
    (root / "file").touch()

    assert sweep_leftovers(root) == []
    assert sorted(path.name for path in root.iterdir()) == ["file", "foreign"]


def test_sweeping_where_nothing_is_does_nothing(root: Path) -> None:
    """A root that does not exist has no leftovers."""
    assert sweep_leftovers(root) == []


def test_removing_twice_is_harmless(root: Path, sleeper: Sleeper) -> None:
    """The first removal ends the processes and deletes the directory; the second changes nothing."""
    scratch = Scratch(root, "twice")
    process = sleeper(label=scratch.path)

    scratch.remove()
    scratch.remove()
    remove_run(scratch.path)

    assert gone(process)
    assert not scratch.path.exists()
    assert root.exists()


def test_processes_are_found_by_label_and_by_directory_only(root: Path, sleeper: Sleeper) -> None:
    """Processes of the run are found by either mark; others, and this one, are not."""
    path = Scratch(root, "found").path
    ours = {sleeper(label=path).pid, sleeper(directory=path).pid}
    sleeper()

    assert {process.pid for process in processes_of(path)} == ours


def test_a_root_that_everybody_may_write_to_is_refused(root: Path) -> None:
    """A world-writable root could hold anybody's links; it is refused with the option that helps."""
    root.mkdir()
    root.chmod(0o777)

    with pytest.raises(SetupBroken, match=r"everybody may write to it; give --scratch DIR"):
        Scratch(root, "run")

    assert list(root.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to somebody else")
def test_a_root_of_somebody_else_is_refused(root: Path) -> None:
    """A root that belongs to another user is refused."""
    root.mkdir(mode=0o755)
    os.chown(root, 65534, 65534)

    with pytest.raises(SetupBroken, match="belongs to somebody else"):
        Scratch(root, "run")


def test_a_directory_that_cannot_be_written_is_named_with_the_option(tmp_path: Path) -> None:
    """A scratch directory that cannot be made is refused by its path, the reason, and --scratch."""
    (tmp_path / "file").touch()

    with pytest.raises(SetupBroken) as caught:
        Scratch(tmp_path / "file" / "root", "run")

    assert str(tmp_path / "file" / "root") in str(caught.value)
    assert "Not a directory" in str(caught.value)
    assert "--scratch DIR" in str(caught.value)


def test_a_run_that_exists_already_is_not_taken_over(root: Path) -> None:
    """Two runs of one name do not share a directory."""
    Scratch(root, "same")

    with pytest.raises(SetupBroken, match="File exists"):
        Scratch(root, "same")


def test_the_default_root_is_the_users_own() -> None:
    """Each user has a root of their own, so that runs of two users never meet."""
    assert default_root().name.endswith(f"-{os.getuid()}")
