"""A wrong call is told in one message before anything starts: what was expected, what arrived, what is near."""

from __future__ import annotations

import os
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


@pytest.fixture
def refused(run_pytest: RunPytest, project: Path, scratch_root: Path) -> Refused:
    """Runs pytest with a wrong call: it ends without a traceback, a run, or anything in scratch."""
    runs = project / ".conformance"

    def run(*arguments: str, **environment: str) -> str:
        before = set(runs.glob("*"))
        ended = run_pytest("scenarios", *arguments, **environment)
        assert ended.returncode == USAGE_ERROR, ended.stdout
        assert "Traceback" not in ended.stdout
        assert "INTERNALERROR" not in ended.stdout
        assert set(runs.glob("*")) == before
        assert list(scratch_root.iterdir()) == []
        return str(ended.stdout)

    return run


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--subject=refrence", "unknown subject 'refrence': did you mean 'reference'?"),
        ("--severity=hihg", "unknown severity 'hihg': did you mean 'high'?"),
        ("--promise=STALE_08", "unknown promise 'STALE_08': did you mean 'STALE-08'?"),
        ("--runtime=embeded", "unknown runtime 'embeded': did you mean 'embedded'?"),
        ("--defect=eager_is_quiet", "unknown defect 'eager_is_quiet': did you mean 'eager_is_silent'?"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(refused: Refused, option: str, told: str) -> None:
    """A name that does not exist is refused with the nearest one that does."""
    assert told in refused(option)


def test_without_a_container_engine_the_way_to_one_is_told(refused: Refused) -> None:
    """The runtime of containers says that no engine answers, how to get one, and which runtime needs none."""
    told = refused("--runtime=containers", DOCKER_HOST="unix:///nowhere/docker.sock")

    assert "no container engine answers (" in told
    assert "apt install docker.io" in told
    assert "or use --runtime=embedded, which needs none" in told


def test_a_subject_that_is_no_toml_is_named_with_the_mistake(refused: Refused, tmp_path: Path) -> None:
    """A subject's file that does not parse is refused by its path and the parser's words."""
    path = tmp_path / "mine.toml"
    path.write_text("capabilities = [\n")

    said = refused(f"--subject={path}")

    assert f"subject {path}: not valid TOML: " in said


def test_a_subject_class_that_does_not_import_is_told_with_the_cause(refused: Refused) -> None:
    """A class in a package that is not there is refused with the import's own words."""
    said = refused("--subject=no_such_package.trackers:Mine")

    assert "subject 'no_such_package.trackers:Mine': cannot be loaded" in said
    assert "No module named 'no_such_package'" in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs Postgres as somebody else")
def test_a_scratch_directory_that_nobody_can_enter_is_refused(refused: Refused, tmp_path: Path) -> None:
    """As root, a scratch directory below a closed one is refused before anything starts."""
    said = refused(f"--scratch={tmp_path / 'deep'}")

    assert "Postgres works there as the user `nobody`, who cannot enter /" in said
    assert "give another with --scratch DIR" in said


def test_a_directory_without_postgres_is_refused(refused: Refused, tmp_path: Path) -> None:
    """A directory that holds no Postgres is named, with the binaries that were expected and the option."""
    said = refused(f"--postgres-bin={tmp_path}")

    assert f"no Postgres: expected `postgres` and `initdb` in {tmp_path}" in said
    assert "--postgres-bin DIR" in said


def test_a_postgres_that_is_too_old_is_refused(refused: Refused, tmp_path: Path) -> None:
    """A Postgres below the oldest supported version is refused with both versions, with xdist too, and once."""
    postgres = script(tmp_path / "bin" / "postgres", "postgres (PostgreSQL) 13.22")
    script(tmp_path / "bin" / "initdb", "initdb (PostgreSQL) 13.22")

    said = refused("-n", "2", f"--postgres-bin={postgres.parent}")

    assert said.count(f"{postgres}: version 15 or newer is needed, it is 13.22") == 1


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
