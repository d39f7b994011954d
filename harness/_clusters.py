"""Makes each scenario its cluster, on a runtime: shared servers, a database and a key space of its own."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness._cluster import STATE, Assignment, Cluster, subject_environment
from harness._command import run_to_end
from harness._errors import NeverCame, SetupBroken
from harness._local import LocalPrograms
from harness._runtime import Runtime
from harness._scratch import Scratch, temporary_files
from harness._servers import Servers, create_database, drop_database, redis_url
from harness._spaces import leave_vhost, take_vhost
from harness._subject import Place, Subject
from harness._timing import STARTUP_S, Timing


class Clusters:
    """One pair of servers for all scenarios of a process; those that break servers get a pair of their own."""

    def __init__(
        self, subject: Subject, runtime: Runtime, programs: LocalPrograms, scratch: Scratch, run_directory: Path
    ) -> None:
        self._subject = subject
        self._runtime = runtime
        self._programs = programs
        self._scratch = scratch
        self._run_directory = run_directory
        self._shared: Servers | None = None
        self._prepared: set[tuple[str, str]] = set()
        self._numbers = itertools.count(1)

    @contextmanager
    def cluster(
        self, name: str, directory: Path, *, own_servers: bool = False, defect: Path | None = None, keep: bool = False
    ) -> Iterator[Cluster]:
        """A scenario's world. Raises SetupBroken when it cannot be made."""
        number = next(self._numbers)
        tag = f"s{number}"
        self._programs.launch()
        servers = self._runtime.start_servers(tag) if own_servers else self._shared_servers()
        directory.mkdir(parents=True, exist_ok=True)
        timing = Timing()
        spaces = self._runtime.spaces
        database = f"{spaces.prefix}scenario_{number}"
        redis_database, vhost = spaces.take_redis(servers.redis, number), take_vhost(servers, spaces, tag)
        try:
            template = self._template(servers, directory, defect, timing)
            create_database(servers.postgres, database, template, spaces.comment)
            cluster = Cluster(
                Assignment(
                    self._subject,
                    self._runtime,
                    self._programs,
                    servers,
                    database,
                    redis_database,
                    vhost,
                    directory,
                    f"{_plain(name)}-{tag}",
                    timing,
                    defect,
                )
            )
            try:
                yield cluster
            finally:
                cluster.close()
        finally:
            if own_servers:
                servers.destroy()
            elif not keep and servers.running:
                drop_database(servers.postgres, database)
                spaces.leave_redis(servers.redis, redis_database)
                leave_vhost(servers, vhost)

    def stop(self, *, keep: bool = False) -> None:
        """End everything. With `keep`, the servers' data moves into the run's directory."""
        self._programs.close()
        if keep:
            if self._shared is not None:
                self._shared.postgres.stop()
                self._shared.redis.stop()
            temporary = temporary_files(self._scratch.path).name
            kept = self._run_directory / "kept" / self._scratch.path.name
            shutil.copytree(self._scratch.path, kept, ignore=shutil.ignore_patterns(temporary))
        elif self._shared is not None:
            self._shared.destroy()
        self._runtime.stop()
        self._scratch.remove()

    def _shared_servers(self) -> Servers:
        if self._shared is None:
            self._shared = self._runtime.start_servers("shared")
        return self._shared

    def _template(self, servers: Servers, directory: Path, defect: Path | None, timing: Timing) -> str:
        """A database that the subject has prepared, made once for each pair of servers and each defect."""
        spaces = self._runtime.spaces
        template = f"{spaces.prefix}t_{defect.stem if defect else 'subject'}"
        if (servers.postgres.name, template) in self._prepared:
            return template
        url = create_database(servers.postgres, template, comment=spaces.comment)
        place = Place(
            url,
            redis_url(servers.redis),
            redis_url(servers.redis),
            timing,
            directory / STATE,
            python=self._programs.python,
        )
        argv = self._subject.command("prepare", place)
        if argv is not None:
            (directory / "defect").mkdir(exist_ok=True)
            environment = subject_environment(self._subject, place, directory, defect, {})
            output = directory / "prepare.out"
            try:
                run = run_to_end(
                    self._programs.program("prepare", argv, environment, directory, output=output), STARTUP_S
                )
            except NeverCame as error:
                raise SetupBroken(f"{self._subject.name}: `{' '.join(argv)}`: {error}") from error
            loaded = any((directory / "defect").iterdir())
            shutil.rmtree(directory / "defect")
            if defect is not None and not loaded:
                raise SetupBroken(f"the defect {defect.stem} was not loaded into `{' '.join(argv)}`")
            if run.exit_code:
                raise SetupBroken(
                    f"{self._subject.name}: `{' '.join(argv)}` failed:\n{(run.output + run.errors)[-2000:]}"
                )
        self._prepared.add((servers.postgres.name, template))
        return template


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:24].strip("-")
