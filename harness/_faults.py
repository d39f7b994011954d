"""The faults: each injects, heals, and says by which evidence it really hit.

A fault that did not land makes every verdict of its scenario unknown.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil
import psycopg
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness._errors import SetupBroken
from harness._processes import Process, alive, deliver
from harness._proxy import Mode, Proxy
from harness._servers import Server, open_redis, redis_url
from harness._view import OWN_NAME

Evidence = Mapping[str, Any]
_TERMINATION_MS = 10_000
_FILLER = "celery-conformance-filler-"
_FILLER_BYTES = 65_536
_FILLER_S = 30 * 86_400
_FILLERS_MAX = 1000
_SPARE_BYTES = 4 << 20
_FILE_BYTES = 1 << 20


@dataclass
class Fault:
    """`landed` gives the evidence, or None while there is none; it may be asked again and again."""

    name: str
    target: str
    inject: Callable[[], None]
    landed: Callable[[], Evidence | None]
    heal: Callable[[], None] = lambda: None
    healed: bool = field(default=False, init=False)


def kill(process: Process, *, whole: bool = True, pid: int | None = None) -> Fault:
    """SIGKILL for all of a process, for the main process alone, or for the child that knows itself by `pid`."""
    doomed: dict[int, psutil.Process] = {}

    def inject() -> None:
        members = _chosen(process, whole=whole, pid=pid)
        for member in members:
            doomed.update({process.own_pid(falling): falling for falling in process.fall(member)})
        for member in members:
            deliver(member, signal.SIGKILL)  # with the first process of a container, the others fall by themselves

    def landed() -> Evidence | None:
        return {"killed": list(doomed)} if doomed and not any(map(alive, doomed.values())) else None

    return Fault("kill", process.name, inject, landed)


def shut_down(process: Process, number: signal.Signals) -> Fault:
    """Ask the main process to shut down; landed when nothing of it is left. What had not ended by then was killed."""
    asked: dict[int, psutil.Process] = {}

    def inject() -> None:
        asked.update({process.own_pid(member): member for member in process.members()})
        process.send(number)

    def landed() -> Evidence | None:
        if not asked or process.running or any(map(alive, asked.values())):
            return None
        return {"signal": number.name, "killed": list(asked), "died_at": time.monotonic()}

    return Fault("shut down", process.name, inject, once(landed))


def freeze(process: Process, *, whole: bool = True, pid: int | None = None) -> Fault:
    """SIGSTOP until healed, for all of a process, for the main process alone, or for one child."""
    frozen: dict[int, psutil.Process] = {}

    def inject() -> None:
        for member in _chosen(process, whole=whole, pid=pid):
            frozen[process.own_pid(member)] = member
            member.suspend()

    def landed() -> Evidence | None:
        return {"stopped": list(frozen)} if frozen and all(map(_is_stopped, frozen.values())) else None

    def heal() -> None:
        process.send(signal.SIGCONT, group=True)

    return Fault("freeze", process.name, inject, once(landed), heal)


def limit_files(process: Process) -> Fault:
    """No file that the process writes may grow beyond a megabyte, until healed; the limits are the evidence."""
    limits: dict[psutil.Process, tuple[int, int]] = {}

    def inject() -> None:
        for member in process.members():
            limits[member] = member.rlimit(psutil.RLIMIT_FSIZE)
            member.rlimit(psutil.RLIMIT_FSIZE, (_FILE_BYTES, limits[member][1]))

    def landed() -> Evidence | None:
        held = [member.rlimit(psutil.RLIMIT_FSIZE)[0] for member in limits]
        return {"limits": held} if held and set(held) == {_FILE_BYTES} else None

    def heal() -> None:
        for member, limit in limits.items():
            with suppress(psutil.NoSuchProcess):
                member.rlimit(psutil.RLIMIT_FSIZE, limit)

    return Fault("limit files", process.name, inject, once(landed), heal)


def sever(link: Proxy, mode: Mode, *, delay_s: float = 0.0) -> Fault:
    """Put a proxy into another mode until healed; what it did to whom is the evidence."""

    def landed() -> Evidence | None:
        tally = link.tally
        counted = {name: count for name, count in vars(tally).items() if count}
        hit: Callable[[], object] = {
            Mode.DELAY: lambda: tally.bytes_delayed,
            Mode.HOLD: lambda: tally.bytes_held,
            Mode.SWALLOW: lambda: tally.bytes_swallowed,
            Mode.CUT: lambda: tally.cuts,
            Mode.REFUSE: lambda: not link.accepts,
            Mode.RESET: lambda: not link.accepts,
        }[mode]
        return {"mode": mode, **counted} if hit() else None

    def inject() -> None:
        link.set(mode, delay_s=delay_s)

    return Fault(mode, link.name, inject, once(landed), lambda: link.set(Mode.PASS))


class HoldsAnswers(Protocol):
    """What stands between two and can keep an answer."""

    name: str

    @property
    def answers_held(self) -> int:
        """How many it has caught."""

    def hold_answer(self, about: str) -> None:
        """Keep the answer to the next question that has this text."""

    def let_go(self) -> None:
        """Let it pass."""


def hold_answer(between: HoldsAnswers, about: str) -> Fault:
    """Keep on its way what one of two has answered already, until healed; landed when there is such an answer."""

    def landed() -> Evidence | None:
        return {"answers_held": between.answers_held} if between.answers_held else None

    return Fault("hold answer", between.name, lambda: between.hold_answer(about), once(landed), between.let_go)


def hold_rows(url: str, query: sql.SQL | sql.Composed, what: str) -> Fault:
    """Lock what `query` selects from outside, until healed; landed when somebody waits for it."""
    connection: list[psycopg.Connection[Any]] = []

    def inject() -> None:
        held = psycopg.connect(url, application_name=f"{OWN_NAME} lock")
        held.execute(query)
        connection.append(held)

    def landed() -> Evidence | None:
        if not connection:
            return None
        blocker = connection[0].info.backend_pid
        with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as look:
            rows = look.execute(
                "SELECT pid, application_name FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [blocker]
            ).fetchall()
        return {"waiting": [{"pid": pid, "application": name} for pid, name in rows]} if rows else None

    def heal() -> None:
        if connection:
            with closing(connection.pop()) as held:
                held.rollback()

    return Fault("hold rows", what, inject, once(landed), heal)


def hide_table(url: str, table: str) -> Fault:
    """Rename a table until healed, so that whatever asks for it fails; landed when a transaction was rolled back."""
    aside = f"{table}_set_aside"
    before: list[int] = []

    def rename(old: str, new: str) -> None:
        with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as connection:
            statement = sql.SQL("ALTER TABLE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
            connection.execute(statement)

    def rolled_back() -> int:
        with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as connection:
            statement = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            (row,) = connection.execute(statement).fetchall()
        return int(row[0])

    def inject() -> None:
        before.append(rolled_back())
        rename(table, aside)

    def landed() -> Evidence | None:
        failed = rolled_back() - before[0] if before else 0
        return {"rolled_back": failed} if failed > 0 else None

    return Fault("hide table", table, inject, once(landed), lambda: rename(aside, table))


def refuse_writes(url: str, table: str, condition: str, *, deferred: bool = False) -> Fault:
    """Make the database refuse rows for which `condition` (SQL over NEW) holds, at once or at the commit.

    A sequence counts the refusals: it is not rolled back with the transaction that was refused.
    """
    name = "conformance_refusal"

    def inject() -> None:
        kind = "CONSTRAINT TRIGGER" if deferred else "TRIGGER"
        moment = "AFTER" if deferred else "BEFORE"
        timing = "DEFERRABLE INITIALLY DEFERRED" if deferred else ""
        with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as connection:
            connection.execute(f"CREATE SEQUENCE {name}")
            connection.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"PERFORM nextval('{name}'); RAISE EXCEPTION 'refused by the conformance harness'; END $$"
            )
            connection.execute(
                f"CREATE {kind} {name} {moment} INSERT OR UPDATE ON {table} {timing} "
                f"FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {name}()".encode()
            )

    def landed() -> Evidence | None:
        with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as connection:
            if connection.execute("SELECT to_regclass(%s)", [name]).fetchone() == (None,):
                return None  # not injected, or healed: what was not seen before is not seen any more
            row = connection.execute(f"SELECT last_value, is_called FROM {name}").fetchone()
        return {"refused": row[0]} if row and row[1] else None

    def heal() -> None:
        with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as connection:
            connection.execute(f"DROP FUNCTION IF EXISTS {name} CASCADE")
            connection.execute(f"DROP SEQUENCE IF EXISTS {name}")

    return Fault("refuse writes", f"{table} where {condition}", inject, once(landed), heal)


def terminate_connections(url: str, application_unlike: str = f"{OWN_NAME}%") -> Fault:
    """Terminate every connection to the database but the harness's own, once."""
    ended: list[int] = []

    def inject() -> None:
        with psycopg.connect(url, autocommit=True, application_name=OWN_NAME) as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND application_name NOT LIKE %s",
                [application_unlike],
            ).fetchall()
            for (pid,) in rows:  # apart: a planner may call the function before it filters
                connection.execute("SELECT pg_terminate_backend(%s, %s)", [pid, _TERMINATION_MS])
                ended.append(pid)

    return Fault(
        "terminate connections",
        f"all but {application_unlike}",
        inject,
        lambda: {"terminated": list(ended)} if ended else None,
    )


def exhaust_connections(url: str) -> Fault:
    """Take every connection that the server of the database grants, and those that others have, until healed."""
    held: list[psycopg.Connection[Any]] = []
    refused: list[str] = []

    def inject() -> None:
        while not refused:
            try:
                held.append(psycopg.connect(url, autocommit=True, application_name=f"{OWN_NAME} hoard"))
            except psycopg.OperationalError as error:
                others = held[0].execute(
                    "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity "
                    "WHERE client_addr IS NOT NULL AND application_name <> %s",
                    [_TERMINATION_MS, f"{OWN_NAME} hoard"],
                )
                if not others.fetchall():
                    refused.append(str(error).strip().splitlines()[-1])

    def heal() -> None:
        while held:
            held.pop().close()

    return Fault(
        "exhaust connections",
        "postgres",
        inject,
        lambda: {"connections": len(held), "refused": refused[0]} if refused else None,
        heal,
    )


def occupy(directory: Path, *, read_only: bool = False) -> Fault:
    """Make it impossible to write below a directory, there or not, whoever tries, root too, until healed.

    A file lies in its place, or, where it is `read_only`, a link into a file system of the kernel in which nobody makes
    anything. The harness tries it itself.
    """
    aside = directory.with_name(f"{directory.name}.aside")

    def inject() -> None:
        if directory.exists():
            directory.rename(aside)
        if read_only:
            directory.symlink_to("/sys/kernel", target_is_directory=True)
        else:
            directory.touch()

    def landed() -> Evidence | None:
        try:
            (directory / "tried").mkdir()
        except OSError as error:
            return {"errno": error.errno, "said": str(error)}
        return None

    def heal() -> None:
        directory.unlink(missing_ok=True)
        if aside.exists():
            aside.rename(directory)

    return Fault("occupy", str(directory), inject, once(landed), heal)


def pause_clients(server: Server, duration_s: float) -> Fault:
    """CLIENT PAUSE: the server answers nobody for `duration_s`; healing waits for the rest of it."""
    felt: list[float] = []

    def inject() -> None:
        with closing(open_redis(server)) as client:
            client.client_pause(int(duration_s * 1000))
        threading.Thread(target=feel, daemon=True).start()

    def feel() -> None:
        began = time.monotonic()
        probe = redis.Redis.from_url(redis_url(server), socket_timeout=0.2, retry=Retry(NoBackoff(), 0))
        try:
            probe.ping()
        except redis.TimeoutError:
            felt.append(time.monotonic() - began)
        finally:
            probe.close()

    def heal() -> None:
        with closing(open_redis(server)) as client:
            client.ping()

    return Fault("pause clients", server.name, inject, lambda: {"unanswered_s": felt[0]} if felt else None, heal)


def expire_visibility(server: Server, database: int) -> Fault:
    """Let the visibility time-out of every unacknowledged message be over now, as if the time had passed."""
    moved: list[int] = []

    def inject() -> None:
        with closing(open_redis(server, database)) as client:
            tags = client.zrange("unacked_index", 0, -1)
            if tags:
                client.zadd("unacked_index", {str(tag): 0.0 for tag in tags})
            moved.append(len(tags))

    return Fault(
        "expire visibility", server.name, inject, lambda: {"messages": moved[0]} if moved and moved[0] else None
    )


def lose_keys(server: Server, database: int, pattern: str) -> Fault:
    """Let keys vanish as a server does that comes back without its data."""
    lost: list[int] = []

    def inject() -> None:
        with closing(open_redis(server, database)) as client:
            lost.append(sum(int(client.delete(key)) for key in list(client.scan_iter(pattern))))

    return Fault("lose keys", server.name, inject, lambda: {"keys": lost[0]} if lost and lost[0] else None)


def evict(server: Server, database: int, pattern: str) -> Fault:
    """Let the server run out of memory until healed: as more is written, it gives up what expires soonest.

    Only keys that expire go, so queues stay. Evidence is the server's own count. Raises SetupBroken where keys of the
    pattern outlast `_FILLERS_MAX` writes.
    """
    before: list[int] = []

    def evicted(client: redis.Redis) -> int:
        return int(client.info("stats")["evicted_keys"])

    def inject() -> None:
        with closing(open_redis(server, database)) as client:
            before.append(evicted(client))
            client.config_set("maxmemory-policy", "volatile-ttl")
            client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + _SPARE_BYTES)
            for number in range(_FILLERS_MAX):
                client.set(f"{_FILLER}{number}", "x" * _FILLER_BYTES, ex=_FILLER_S)
                if next(client.scan_iter(pattern, count=1000), None) is None:
                    return
            raise SetupBroken(f"{server.name} keeps {pattern} although it has run out of memory")

    def landed() -> Evidence | None:
        if not before:
            return None
        with closing(open_redis(server, database)) as client:
            gone = evicted(client) - before[0]
        return {"evicted": gone} if gone else None

    def heal() -> None:
        with closing(open_redis(server, database)) as client:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
            for key in client.scan_iter(f"{_FILLER}*", count=1000):
                client.delete(key)

    return Fault("evict", server.name, inject, once(landed), heal)


def refuse_messages(server: Server, database: int, queue: str) -> Fault:
    """Have the broker refuse each message to an empty queue: what stands under its key until healed is no list."""
    before: list[int] = []

    def inject() -> None:
        with closing(open_redis(server, database)) as client:
            before.append(_refusals(client))
            if not client.set(queue, "refused by the conformance harness", nx=True):
                raise SetupBroken(f"the queue {queue} is not empty")

    def landed() -> Evidence | None:
        with closing(open_redis(server, database)) as client:
            refused = _refusals(client) - before[0] if before else 0
        return {"refused": refused} if refused else None

    def heal() -> None:
        with closing(open_redis(server, database)) as client:
            client.delete(queue)

    return Fault("refuse messages", queue, inject, once(landed), heal)


def hide_hash(server: Server, database: int, key: str) -> Fault:
    """Refuse whatever is asked about a hash: under its key stands something else until healed."""
    aside = f"{key}-set-aside"
    before: list[int] = []

    def inject() -> None:
        with closing(open_redis(server, database)) as client:
            before.append(_refusals(client))
            if not client.renamenx(key, aside):
                raise SetupBroken(f"there is something under {aside}")
            client.set(key, "refused by the conformance harness")

    def landed() -> Evidence | None:
        with closing(open_redis(server, database)) as client:
            refused = _refusals(client) - before[0] if before else 0
        return {"refused": refused} if refused else None

    def heal() -> None:
        with closing(open_redis(server, database)) as client:
            client.rename(aside, key)

    return Fault("hide hash", key, inject, once(landed), heal)


def _refusals(client: redis.Redis) -> int:
    return int(client.info("errorstats").get("errorstat_WRONGTYPE", {}).get("count", 0))


def restart(server: Server, *, kill_it: bool = False, lose_data: bool = False) -> Fault:
    """Stop a server, or kill it; healing starts it again at the same address, with its data or without."""
    before: list[psutil.Process] = []

    def inject() -> None:
        before.append(server.process.member())
        if kill_it:
            server.process.destroy()
        else:
            server.stop()
        if lose_data:
            server.forget()

    def heal() -> None:
        if not server.process.running:
            server.start()

    def landed() -> Evidence | None:
        if not before or alive(before[0]):
            return None
        return {"stopped": before[0].pid} | ({"data": "lost"} if lose_data else {})

    return Fault("restart", server.name, inject, once(landed), heal)


def _chosen(process: Process, *, whole: bool, pid: int | None) -> list[psutil.Process]:
    return process.members() if whole and pid is None else [process.member(pid)]


def once(look: Callable[[], Evidence | None]) -> Callable[[], Evidence | None]:
    """Evidence, once seen, stays seen: it may be gone after healing."""
    seen: list[Evidence] = []

    def landed() -> Evidence | None:
        if not seen:
            evidence = look()
            if evidence is not None:
                seen.append(evidence)
        return seen[0] if seen else None

    return landed


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return False
