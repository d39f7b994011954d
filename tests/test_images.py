"""The images of the containers runtime: named after what they are made from. Nothing here needs an engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import _images
from harness._images import NAMES, REQUIREMENTS, image_name

PROJECT = Path(__file__).parent.parent


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a lock file of its own, and no wish for another base or other requirements."""
    shutil.copy(PROJECT / "requirements.lock", tmp_path)
    monkeypatch.setattr(_images, "_LOCK", tmp_path / "requirements.lock")
    for argument in ("BASE", REQUIREMENTS):
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


def test_another_base_makes_other_images(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked to be built otherwise never passes for what is built as usual."""
    before = names()
    monkeypatch.setenv("BASE", "debian:trixie-slim")

    after = names()

    assert not set(before.values()) & set(after.values())


def test_other_requirements_make_another_worker(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers need not be built again for another Celery."""
    before = names()
    monkeypatch.setenv(REQUIREMENTS, "celery[redis]==5.5.3")

    after = names()

    assert [name for name in NAMES if before[name] != after[name]] == ["worker"]
