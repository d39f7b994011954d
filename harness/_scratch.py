"""Where a run keeps what must not outlive it, and how the leftovers of a dead run are found and removed.

A run's scratch directory lies under one root per user. Each process of the run works inside it (its current
directory) and carries its path in the environment: that is the label by which processes are found, whatever
their parents have become. `owner.json` names the process that owns the run; a run whose owner is gone is
leftover, and the next start kills its processes and removes its directory.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

import psutil

from harness._errors import SetupBroken

LABEL = "CELERY_CONFORMANCE_SCRATCH"
_NEEDED_BYTES = 200 * 1024 * 1024


def default_root() -> Path:
    """One root per user, in the system's directory for temporary files."""
    return Path(tempfile.gettempdir()) / f"celery-conformance-{os.getuid()}"


class Scratch:
    """The scratch directory of one run."""

    def __init__(self, root: Path, run_id: str) -> None:
        self.root = root
        self.path = root / run_id
        prepare_root(root)
        try:
            self.path.mkdir()
            self.path.chmod(0o755)  # whatever the umask: as root, Postgres runs as a user who must enter
            owner = {"pid": os.getpid(), "created": psutil.Process().create_time()}
            temporary_files(self.path).mkdir()
            (self.path / "owner.json").write_text(json.dumps(owner))
        except OSError as error:
            raise _unusable(self.path, error) from error

    def remove(self) -> None:
        """Kill what still runs in it, then delete it."""
        remove_run(self.path)


def temporary_files(scratch: Path) -> Path:
    """Where processes of the run put temporary files: a worker that is killed leaves a directory of its own there."""
    return scratch / "tmp"


def prepare_root(root: Path) -> None:
    """Make the root if need be. Raises SetupBroken where it cannot be written, is foreign, or is nearly full."""
    try:
        if not root.exists():
            root.mkdir(parents=True, exist_ok=True)
            root.chmod(0o755)
        _refuse_foreign(root)
        with tempfile.TemporaryFile(dir=root):
            free = shutil.disk_usage(root).free
    except OSError as error:
        raise _unusable(root, error) from error
    if free < _NEEDED_BYTES:
        raise SetupBroken(
            f"scratch directory {root}: {free // 1024 // 1024} MiB free, {_NEEDED_BYTES // 1024 // 1024} MiB "
            "needed; free some, or give another with --scratch DIR"
        )


def _unusable(path: Path, error: OSError) -> SetupBroken:
    return SetupBroken(f"scratch directory {path}: {error.strerror}; give one that can be written with --scratch DIR")


def sweep_leftovers(root: Path) -> list[str]:
    """Remove the runs under `root` whose owner is dead; returns their names."""
    if not root.is_dir():
        return []
    swept = []
    for path in sorted(root.iterdir()):
        if path.is_dir() and (path / "owner.json").exists() and not _owner_lives(path):
            remove_run(path)
            swept.append(path.name)
    return swept


def processes_of(path: Path) -> list[psutil.Process]:
    """Every process labelled with this scratch directory, this one excepted."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _belongs(process, path)]


def remove_run(path: Path) -> None:
    """Kill the processes of a run and delete its directory. Running it twice changes nothing more."""
    for _ in range(5):  # a process that forks while it is being killed needs another round
        doomed = processes_of(path)
        if not doomed:
            break
        for process in doomed:
            _kill(process)
        psutil.wait_procs(doomed, timeout=5)
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        raise SetupBroken(f"scratch directory {path} of an ended run could not be removed; remove it by hand")


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _belongs(process: psutil.Process, path: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(LABEL) == str(path):
            return True
        return Path(process.cwd()).is_relative_to(path)
    except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess, OSError):
        return False


def _owner_lives(path: Path) -> bool:
    try:
        owner = json.loads((path / "owner.json").read_text())
        return bool(psutil.Process(owner["pid"]).create_time() == owner["created"])
    except (psutil.NoSuchProcess, ValueError, KeyError, TypeError):
        return False


def obstacle(path: Path) -> Path | None:
    """The first directory on the way to `path`, itself included, that other users cannot enter."""
    way = [path, *path.parents]
    return next((part for part in reversed(way) if not part.stat().st_mode & stat.S_IXOTH), None)


def refuse_closed(root: Path) -> None:
    """As root, Postgres runs as a user who must be able to come here. Raises SetupBroken where that one cannot."""
    closed = obstacle(root.resolve()) if os.getuid() == 0 else None
    if closed is not None:
        raise SetupBroken(
            f"scratch directory {root}: run by root, Postgres works there as the user `nobody`, who cannot enter "
            f"{closed}; give another with --scratch DIR"
        )


def _refuse_foreign(root: Path) -> None:
    """The default root lies in a directory that everybody may write to."""
    status = root.stat()
    if status.st_uid != os.getuid() or status.st_mode & stat.S_IWOTH:
        raise SetupBroken(
            f"scratch root {root} belongs to somebody else, or everybody may write to it; give --scratch DIR"
        )
