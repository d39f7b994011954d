"""The images of the containers runtime: named after what they are made from. Nothing here needs an engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import SetupBroken
from harness._images import NAMES, image_name

PROJECT = Path(__file__).parent.parent


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a lock file of its own, and no wish for another base or Celery."""
    shutil.copy(PROJECT / "requirements.lock", tmp_path)
    monkeypatch.chdir(tmp_path)
    for argument in ("BASE", "CELERY_VERSION"):
        monkeypatch.delenv(argument, raising=False)
    return tmp_path


def names() -> dict[str, str]:
    """All images by their full names."""
    return {name: image_name(name) for name in NAMES}


def test_the_same_files_make_the_same_names(elsewhere: Path) -> None:
    """A name depends on nothing but what goes into the image."""
    assert names() == names()
    assert len(set(names().values())) == len(NAMES)


def test_another_lock_file_makes_another_worker(elsewhere: Path) -> None:
    """The lock file is in the worker alone, so servers need not be built again."""
    before = names()
    with (elsewhere / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")

    after = names()

    assert [name for name in NAMES if before[name] != after[name]] == ["worker"]


@pytest.mark.parametrize(("argument", "value"), [("BASE", "debian:trixie-slim"), ("CELERY_VERSION", "5.5.3")])
def test_a_build_argument_makes_others(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, argument: str, value: str
) -> None:
    """What is asked to be built otherwise never passes for what is built as usual."""
    before = names()
    monkeypatch.setenv(argument, value)

    after = names()

    assert not set(before.values()) & set(after.values())


def test_without_a_lock_file_the_way_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the project there is nothing to build a worker from."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SetupBroken, match=r"no requirements\.lock in .*: build images from the project's directory"):
        image_name("worker")
