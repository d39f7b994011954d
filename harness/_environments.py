"""Environments with another version of Celery than the subject's own: made once, kept, and found again.

Such an environment has Celery and what belongs to it in the versions asked for, and everything else from the
environment that it is made beside: what is installed there is found behind its own packages.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from harness._errors import SetupBroken, UsageError

_CONTEMPORARY = {
    "5.3": ("kombu>=5.3,<5.4", "redis>=4.5,<5.1"),
    "5.4": ("kombu>=5.3.4,<5.5", "redis>=4.5.2,<5.1"),
}
"""What belongs to versions whose own metadata set no upper bound; those of later ones do."""
_VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
_NEWEST_TOO_OLD = (5, 3)
_SAID_CHARACTERS = 2000
_SITE = "import json, site; print(json.dumps(site.getsitepackages()))"


def requirements_for(celery: str | None, given: Sequence[str] = ()) -> tuple[str, ...]:
    """What to install for a version of Celery, and what is given beside it, which stands instead of our choice.

    Raises UsageError for what is no version, or one before 5.3.
    """
    named = {_package(requirement) for requirement in given}
    if celery is None:
        return tuple(given)
    if not _VERSION.fullmatch(celery):
        raise UsageError(f"--celery {celery!r}: expected a whole version such as 5.4.0")
    minor = ".".join(celery.split(".")[:2])
    if tuple(map(int, minor.split("."))) < _NEWEST_TOO_OLD:
        raise UsageError(f"--celery {celery}: expected 5.3 or newer; older ones do not run on Python 3.11")
    ours = [requirement for requirement in _CONTEMPORARY.get(minor, ()) if _package(requirement) not in named]
    return (f"celery[redis]=={celery}", *ours, *given)


def environment_beside(python: str, requirements: Sequence[str]) -> str:
    """The interpreter of an environment with these requirements, made where there is none yet. Raises SetupBroken."""
    key = hashlib.sha256(json.dumps([str(Path(python).resolve()), python, *requirements]).encode()).hexdigest()[:16]
    place = _home() / key
    if not place.exists():
        _make(place, python, requirements)
    return str(place / "bin" / "python")


def _make(place: Path, python: str, requirements: Sequence[str]) -> None:
    """Beside its place first, so that nobody ever finds half of one."""
    sys.stderr.write(f"making an environment with {', '.join(requirements)} (once) ...\n")
    draft = place.with_name(f"{place.name}-{uuid.uuid4().hex[:8]}")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        _run([python, "-m", "venv", str(draft)])
        own = str(draft / "bin" / "python")
        _run([own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
        (packages,) = json.loads(_run([own, "-c", _SITE]))
        behind = json.loads(_run([python, "-c", _SITE]))
        lines = [f"import site; site.addsitedir({directory!r})" for directory in behind]
        (Path(packages) / "beside.pth").write_text("\n".join(lines) + "\n")
        draft.rename(place)
    except OSError as error:
        if not place.exists():  # else another run was faster
            raise SetupBroken(
                f"{place}: {error.strerror}; set XDG_CACHE_HOME to a directory that can be written"
            ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr)[-_SAID_CHARACTERS:]
        raise SetupBroken(f"`{' '.join(command)}` failed:\n{said}")
    return done.stdout


def _home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "celery-conformance" / "environments"


def _package(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*?(?=[\s\[<>=!~;]|$)", requirement)
    if found is None:
        raise UsageError(f"--with {requirement!r}: expected a requirement such as kombu==5.3.7")
    return found[0].lower()
