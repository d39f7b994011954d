"""A run: its id, its directory under `.conformance/`, and what it was started with."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from harness._application import versions_of
from harness._errors import SetupBroken

RUNS_KEPT = 20


@dataclass(frozen=True)
class Run:
    """Made once, by the process that the user started; its helpers are handed the same."""

    id: str
    directory: Path
    scratch_root: Path
    subject: str
    runtime: str
    broker: str
    seed: int

    def as_words(self) -> dict[str, str]:
        """For a helper process."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_words(cls, words: dict[str, str]) -> Run:
        """What a helper process was handed."""
        return cls(
            words["id"],
            Path(words["directory"]),
            Path(words["scratch_root"]),
            words["subject"],
            words["runtime"],
            words["broker"],
            int(words["seed"]),
        )


def begin_run(home: Path, scratch_root: Path, subject: str, runtime: str, broker: str, seed: int | None) -> Run:
    """A fresh directory under `home`, to which `latest` points; the oldest runs beyond twenty are deleted."""
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    directory = home / run_id
    try:
        directory.mkdir(parents=True)
        fresh = home / f".latest-{run_id}"
        fresh.symlink_to(run_id)
        fresh.rename(home / "latest")  # atomic, so that runs side by side never meet
    except OSError as error:
        raise SetupBroken(
            f"run directory {directory}: {error.strerror}; start from a directory that can be written"
        ) from error
    for old in sorted(path for path in home.iterdir() if path.is_dir() and not path.is_symlink())[:-RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    chosen = secrets.randbelow(2**31) if seed is None else seed
    return Run(run_id, directory, scratch_root, subject, runtime, broker, chosen)


def package_versions(python: str = sys.executable) -> dict[str, str]:
    """Of what matters to a verdict: what the subject's interpreter finds, and the harness's own version."""
    return {**versions_of(python), "pytest": version("pytest"), "celery-conformance": version("celery-conformance")}


def replay_command(node_id: str, run: Run, defect: str | None, more: Sequence[str] = ()) -> str:
    """One line to paste that runs a scenario again; `more` are options that say where the subject is installed."""
    path = node_id.partition("[")[0] if defect else node_id
    here = Path(sys.executable)
    shown = Path(os.path.relpath(here)) if here.is_relative_to(Path.cwd()) else here
    flags = [f"--subject={run.subject}", f"--runtime={run.runtime}", f"--harness-seed={run.seed}"]
    flags += [f"--broker={run.broker}"] if run.broker != "redis" else []
    flags += more
    flags += [f"--defect={defect}"] if defect else []
    # Where the scenarios are not part of the directory of the start, their own command knows where they are.
    if Path(node_id.partition("::")[0]).exists():
        return shlex.join([str(shown), "-m", "pytest", path, *flags])
    return shlex.join([str(shown.with_name("celery-conformance")), "run", f"--scenario={path}", *flags])
