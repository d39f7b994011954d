"""A Postgres and a Redis-compatible server as child processes: start, stop, freeze, kill, start again.

Data is scratch data, so Postgres runs with `fsync=off`. Postgres refuses to run as root; as root it runs as
the user `nobody`, from binaries that this user can reach.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path

from harness._binaries import PostgresBinaries, RedisBinary
from harness._errors import SetupBroken
from harness._processes import Account, OwnedProcess
from harness._scratch import LABEL, obstacle
from harness._servers import (
    LOOPBACK,
    POSTGRES_SETTINGS,
    REDIS_SETTINGS,
    STOP_S,
    Servers,
    await_answer,
    postgres_answers,
    redis_answers,
)


def free_port() -> int:
    """A port that is free now; a server that finds it taken is started on another."""
    with closing(socket.socket()) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class PostgresServer:
    """One Postgres cluster in a directory of its own."""

    def __init__(self, binaries: PostgresBinaries, directory: Path, log: Path, name: str = "postgres") -> None:
        self.name = name
        self.host = LOOPBACK
        self.port = free_port()
        self.login = "postgres@"
        self._account = _unprivileged()
        self._binaries = _reachable(binaries.directory, directory.parent) if self._account else binaries.directory
        self._data = directory
        self.process = OwnedProcess(name, [], _environment(directory.parent), directory, log, self._account)

    def initialise(self) -> None:
        """Make the data directory."""
        argv: list[str | Path] = [
            self._binaries / "initdb",
            "--pgdata",
            self._data,
            "--username",
            "postgres",
            "--auth",
            "trust",
        ]
        argv += ["--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        try:
            self._data.mkdir(mode=0o700)
            if self._account:
                os.chown(self._data, self._account.uid, self._account.gid)
            run = subprocess.run(
                argv,
                env=self.process.environment,
                cwd=self._data,
                capture_output=True,
                text=True,
                check=False,
                user=self._account.uid if self._account else None,
                group=self._account.gid if self._account else None,
                extra_groups=[] if self._account else None,
            )
        except OSError as error:
            raise SetupBroken(f"initdb could not be started in {self._data}: {error}") from error
        if run.returncode:
            raise SetupBroken(f"initdb failed in {self._data}:\n{(run.stdout + run.stderr).strip()[-2000:]}")

    def start(self) -> None:
        """Start on the same data, and wait until it answers."""
        settings = {
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "port": str(self.port),
            **POSTGRES_SETTINGS,
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process.argv = [str(self._binaries / "postgres"), "-D", str(self._data), *flags]
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self.process.start()
        await_answer(self, self._answers)

    def stop(self) -> None:
        """A fast shutdown."""
        self.process.send(signal.SIGCONT, group=True)
        self.process.send(signal.SIGINT)
        self.process.wait(STOP_S)

    def forget(self) -> None:
        """Lose its data."""
        shutil.rmtree(self._data)
        self.initialise()

    @property
    def running(self) -> bool:
        """Whether its process exists."""
        return self.process.running

    def destroy(self) -> None:
        """Kill it."""
        self.process.destroy()

    def _answers(self) -> bool:
        said = postgres_answers(self)
        return said is not None and Path(said) == self._data  # another server may have taken the port


class RedisServer:
    """One Redis-compatible server; its data survives a clean stop, and a kill up to the last second."""

    def __init__(self, binary: RedisBinary, directory: Path, log: Path, name: str = "redis") -> None:
        self.name = name
        self.host = LOOPBACK
        self.port = free_port()
        self.login = ""
        self._binary = binary
        self._directory = directory
        self.process = OwnedProcess(name, [], _environment(directory.parent), directory, log)

    def initialise(self) -> None:
        """Make the data directory."""
        self._directory.mkdir(mode=0o700)

    def start(self) -> None:
        """Start on the same data, and wait until it answers."""
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self._directory),
            **REDIS_SETTINGS,
            "daemonize": "no",
        }
        flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self.process.argv = [str(self._binary.path), *flags]
        self.process.start()
        await_answer(self, self._answers)

    def stop(self) -> None:
        """A clean shutdown."""
        self.process.send(signal.SIGCONT)
        self.process.send(signal.SIGTERM)
        self.process.wait(STOP_S)

    def forget(self) -> None:
        """Lose its data."""
        shutil.rmtree(self._directory)
        self.initialise()

    @property
    def running(self) -> bool:
        """Whether its process exists."""
        return self.process.running

    def destroy(self) -> None:
        """Kill it."""
        self.process.destroy()

    def _answers(self) -> bool:
        return redis_answers(self) == self.process.pid  # another server may have taken the port


def start_servers(
    binaries: PostgresBinaries, redis_binary: RedisBinary, scratch: Path, logs: Path, tag: str
) -> Servers:
    """A fresh pair. A port taken between looking and listening leads to another port, three times at most."""
    postgres_name, redis_name = f"postgres-{tag}", f"redis-{tag}"
    postgres = PostgresServer(binaries, scratch / postgres_name, logs / f"{postgres_name}.log", postgres_name)
    redis = RedisServer(redis_binary, scratch / redis_name, logs / f"{redis_name}.log", redis_name)
    pair = Servers(postgres, redis)
    try:
        for server in (redis, postgres):
            server.initialise()
            _start_on_some_port(server)
    except BaseException:  # Ctrl-C too: no server may outlive a set-up that broke
        pair.destroy()
        raise
    return pair


def _start_on_some_port(server: PostgresServer | RedisServer) -> None:
    for last in (False, False, True):
        try:
            server.start()
        except SetupBroken as error:
            server.process.destroy()
            if last or "in use" not in str(error):
                raise
            server.port = free_port()
        else:
            return


def _environment(scratch: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC", LABEL: str(scratch)}


def _unprivileged() -> Account | None:
    if os.getuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise SetupBroken("Postgres refuses to run as root, and there is no user `nobody` to run it as") from error
    return Account(nobody.pw_uid, nobody.pw_gid)


def _reachable(binaries: Path, scratch: Path) -> Path:
    """The binaries where another user can execute them: in place, or a copy in the scratch directory."""
    if obstacle(binaries) is None:
        return binaries
    install = binaries.parent
    package = scratch / install.parent.name  # the binaries find their libraries relative to themselves
    if not package.exists():
        copies = {install / name: package / install.name / name for name in (binaries.name, "lib", "lib64", "share")}
        copies[Path(f"{install.parent}.libs")] = Path(f"{package}.libs")
        for source, copy in copies.items():
            if source.is_dir():
                shutil.copytree(source, copy, symlinks=True)
        for path in [package, *package.rglob("*"), *Path(f"{package}.libs").rglob("*")]:
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (mode & 0o500) >> 6)
    return package / install.name / binaries.name
