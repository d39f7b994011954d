"""Environments with another version of Celery: what belongs to it, and that everything else is found behind it."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from harness import SetupBroken, UsageError
from harness._application import versions_of
from harness._environments import environment_beside, requirements_for


@pytest.mark.parametrize(
    ("celery", "given", "expected"),
    [
        ("5.4.0", [], ("celery[redis]==5.4.0", "kombu>=5.3.4,<5.5", "redis>=4.5.2,<5.1")),
        ("5.4.0", ["kombu==5.3.7"], ("celery[redis]==5.4.0", "redis>=4.5.2,<5.1", "kombu==5.3.7")),
        ("5.6.1", [], ("celery[redis]==5.6.1",)),
        (None, ["django>=5"], ("django>=5",)),
        (None, [], ()),
    ],
)
def test_what_belongs_to_a_version(celery: str | None, given: list[str], expected: tuple[str, ...]) -> None:
    """Versions without bounds of their own get those of their time; what the caller gives stands."""
    assert requirements_for(celery, given) == expected


@pytest.mark.parametrize("celery", ["5", "latest", "5.4", "4.4.7", "5.2.0", "5.4.0; rm -rf /"])
def test_what_is_no_version_is_refused(celery: str) -> None:
    """So is one that no supported Python runs."""
    with pytest.raises(UsageError, match="--celery"):
        requirements_for(celery)


def test_what_is_no_requirement_is_refused() -> None:
    """An option of pip is none."""
    with pytest.raises(UsageError, match="--with"):
        requirements_for(None, ["--index-url=x"])


def test_it_is_made_once_and_has_the_rest_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own Celery comes first; what is installed in the environment beside it is there, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    made = environment_beside(sys.executable, ("celery[redis]==5.6.2",))
    at = Path(made).stat().st_mtime_ns
    again = environment_beside(sys.executable, ("celery[redis]==5.6.2",))

    assert (again, Path(again).stat().st_mtime_ns) == (made, at)
    assert versions_of(made)["celery"] == "5.6.2"
    assert versions_of(made)["sqlalchemy"] == versions_of(sys.executable)["sqlalchemy"]
    subprocess.run([made, "-c", "import sqlalchemy, celery_conformance"], check=True)
    assert len(list((tmp_path / "celery-conformance" / "environments").iterdir())) == 1


def test_an_interpreter_without_celery_is_refused(tmp_path: Path) -> None:
    """Its name is told, and what it lacks."""
    venv.create(tmp_path / "bare")

    with pytest.raises(UsageError, match="bare/bin/python: Celery is not installed there"):
        versions_of(str(tmp_path / "bare" / "bin" / "python"))


def test_what_cannot_be_installed_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip's last words are shown."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(SetupBroken, match="no-such-package"):
        environment_beside(sys.executable, ("celery-conformance-no-such-package",))

    assert list((tmp_path / "celery-conformance" / "environments").iterdir()) == []
