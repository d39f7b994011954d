"""A wrong call is told in one message before anything starts: what was expected, what arrived, what is near."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPytest

USAGE_ERROR = 4

Refused = Callable[..., str]


def script(path: Path, says: str) -> Path:
    """A program that answers everything with one line."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_subject_that_is_no_toml_is_named_with_the_mistake(refused: Refused, tmp_path: Path) -> None:
    """A subject's file that does not parse is refused by its path and the parser's words."""
    path = tmp_path / "mine.toml"
    path.write_text("capabilities = [\n")

    said = refused(f"--subject={path}")

    assert f"subject {path}: not valid TOML: " in said


def test_a_scratch_root_that_cannot_be_made_is_refused(refused: Refused, tmp_path: Path) -> None:
    """A scratch root below a plain file is refused by its path, the reason and the option, before any scenario."""
    (tmp_path / "file").touch()

    said = refused(f"--scratch={tmp_path / 'file' / 'root'}", "-k", "test_nobody_can_know")

    assert str(tmp_path / "file" / "root") in said
    assert "Not a directory" in said
    assert "--scratch DIR" in said


def test_a_defect_fits_the_reference_only(refused: Refused) -> None:
    """A defect cannot be put into another subject than the one whose patch it is."""
    said = refused("--defect=eager_is_silent", "--subject=bare-celery")

    assert "defects are patches of the reference; they cannot be put into 'bare-celery'" in said
