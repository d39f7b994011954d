"""The faults against real processes and servers: each hits, proves it, and heals; one that misses proves nothing."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis
from psycopg import sql

from harness import (
    Fault,
    Mode,
    evict,
    expire_visibility,
    freeze,
    hide_hash,
    hide_table,
    hold_rows,
    kill,
    pause_clients,
    refuse_writes,
    restart,
    sever,
    terminate_connections,
)
from harness._processes import OwnedProcess, await_until
from harness._proxy import Proxy
from harness._servers import LOOPBACK, Servers, open_redis, postgres_url

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
PROMPT_S = 10.0


@pytest.fixture
def family(tmp_path: Path) -> Iterator[OwnedProcess]:
    """A real process with one child."""
    process = OwnedProcess(
        "family", [sys.executable, "-c", PARENT], dict(os.environ), tmp_path, tmp_path / "family.log"
    )
    process.start()
    await_until("the child", lambda: process.tail().strip() or None, PROMPT_S)
    yield process
    process.destroy()


@pytest.fixture
def table(database: str) -> str:
    """The URL of a database with one table of two rows."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE task (id int PRIMARY KEY, status text)")
        connection.execute("INSERT INTO task VALUES (1, 'PENDING'), (2, 'PENDING')")
    return database


def evidence(fault: Fault) -> dict[str, Any]:
    """What proves that the fault landed, once it did."""
    return dict(await_until(f"the landing of {fault.name}", fault.landed, PROMPT_S))


def status(pid: int) -> str:
    """A process's state; zombies and the gone are dead."""
    try:
        state = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return "dead"
    return "dead" if state == psutil.STATUS_ZOMBIE else str(state)


def background(work: Callable[[], object]) -> threading.Thread:
    """Work that waits for something, beside the test."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


# -- processes -----------------------------------------------------------------------------------------------------


def test_kill_ends_the_whole_session(family: OwnedProcess) -> None:
    """A kill ends the process and its children, and its evidence is their process ids."""
    pids = {family.pid, *family.children()}
    fault = kill(family)

    fault.inject()

    assert set(evidence(fault)["killed"]) == pids
    assert {status(pid) for pid in pids} == {"dead"}


def test_kill_of_the_main_process_leaves_its_children(family: OwnedProcess) -> None:
    """A kill of the main process alone is proved by it alone."""
    (child,) = family.children()
    fault = kill(family, whole=False)

    fault.inject()

    assert evidence(fault) == {"killed": [family.pid]}
    assert status(child) != "dead"


def test_kill_of_a_child_leaves_the_main_process(family: OwnedProcess) -> None:
    """A kill of one child is proved by it alone."""
    (child,) = family.children()
    fault = kill(family, whole=False, pid=child)

    fault.inject()

    assert evidence(fault) == {"killed": [child]}
    assert family.running


def test_a_kill_that_was_not_injected_has_not_landed(family: OwnedProcess) -> None:
    """A kill that did not happen is not proved, whatever became of the process otherwise."""
    fault = kill(family)
    family.destroy()

    assert fault.landed() is None


def test_a_kill_of_what_is_dead_already_does_not_land(family: OwnedProcess) -> None:
    """A kill that finds no process hits nothing."""
    family.destroy()
    fault = kill(family)

    fault.inject()

    assert fault.landed() is None


def test_freeze_stops_the_session_until_healed(family: OwnedProcess) -> None:
    """A freeze stops the process and its children; healing lets all go on; the evidence remains."""
    pids = {family.pid, *family.children()}
    fault = freeze(family)

    fault.inject()
    frozen = evidence(fault)
    states = {status(pid) for pid in pids}
    fault.heal()

    assert set(frozen["stopped"]) == pids
    assert states == {psutil.STATUS_STOPPED}
    assert psutil.STATUS_STOPPED not in {status(pid) for pid in pids}
    assert fault.landed() == frozen


def test_freeze_of_the_main_process_leaves_its_children(family: OwnedProcess) -> None:
    """A freeze of the main process alone is proved by it alone."""
    (child,) = family.children()
    fault = freeze(family, whole=False)

    fault.inject()

    assert evidence(fault) == {"stopped": [family.pid]}
    assert status(child) != psutil.STATUS_STOPPED


def test_a_freeze_that_is_undone_before_anybody_looks_has_not_landed(family: OwnedProcess) -> None:
    """A process that goes on by itself was not frozen as far as anybody can prove."""
    fault = freeze(family)
    fault.inject()
    family.send(signal.SIGCONT, group=True)

    assert fault.landed() is None


def test_a_freeze_of_what_is_dead_does_not_land(family: OwnedProcess) -> None:
    """A freeze that finds no process hits nothing, and healing it is harmless."""
    family.destroy()
    fault = freeze(family)

    fault.inject()
    fault.heal()

    assert fault.landed() is None


# -- the network ---------------------------------------------------------------------------------------------------


def test_a_severed_link_lands_when_it_hits_somebody(servers: Servers) -> None:
    """Held bytes are the evidence of a hold; before any flow there is none; healing delivers them."""
    with closing(Proxy("w1 to Redis", servers.redis)) as link:
        fault = sever(link, Mode.HOLD)
        fault.inject()
        before = fault.landed()
        with closing(socket.create_connection((LOOPBACK, link.port), timeout=PROMPT_S)) as client:
            client.sendall(b"PING\r\n")
            landed = evidence(fault)
            fault.heal()
            answer = client.recv(1024)

    assert before is None
    assert landed["mode"] is Mode.HOLD
    assert landed["bytes_held"] > 0
    assert answer == b"+PONG\r\n"


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.RESET])
def test_a_refusing_link_lands_at_once_and_heals(servers: Servers, mode: Mode) -> None:
    """That nobody can connect is the evidence of a refusal; healed, the link serves again."""
    with closing(Proxy("w1 to Redis", servers.redis)) as link:
        fault = sever(link, mode)

        fault.inject()
        landed = evidence(fault)
        fault.heal()

        assert landed["mode"] is mode
        assert link.accepts


# -- Postgres ------------------------------------------------------------------------------------------------------


def test_held_rows_make_a_writer_wait_until_healed(table: str) -> None:
    """A lock on rows lands when somebody waits for it, names who, and lets them go when healed."""
    fault = hold_rows(table, sql.SQL("SELECT 1 FROM task WHERE id = 1 FOR UPDATE"), "task 1")
    fault.inject()
    nobody = fault.landed()
    written: list[bool] = []

    def write() -> None:
        with psycopg.connect(table, autocommit=True, application_name="writer") as connection:
            connection.execute("UPDATE task SET status = 'STARTED' WHERE id = 1")
        written.append(True)

    writer = background(write)
    landed = evidence(fault)
    early = list(written)
    fault.heal()
    writer.join(PROMPT_S)

    assert nobody is None
    assert [waiting["application"] for waiting in landed["waiting"]] == ["writer"]
    assert early == []
    assert written == [True]


def test_held_rows_do_not_hit_who_writes_others(table: str) -> None:
    """A lock that nobody waits for is no evidence."""
    fault = hold_rows(table, sql.SQL("SELECT 1 FROM task WHERE id = 1 FOR UPDATE"), "task 1")
    fault.inject()

    with psycopg.connect(table, autocommit=True) as connection:
        connection.execute("UPDATE task SET status = 'STARTED' WHERE id = 2")
    landed = fault.landed()
    fault.heal()

    assert landed is None


@pytest.mark.parametrize("deferred", [False, True], ids=["at once", "at the commit"])
def test_refused_writes_are_counted_and_heal(table: str, *, deferred: bool) -> None:
    """Rows that meet the condition are refused, others are not; each refusal is counted; healing ends it."""
    fault = refuse_writes(table, "task", "NEW.status = 'REVOKED'", deferred=deferred)
    fault.inject()
    before = fault.landed()
    refused_at: list[str] = []
    with psycopg.connect(table) as connection:
        connection.execute("UPDATE task SET status = 'STARTED' WHERE id = 2")
        connection.commit()
        try:
            connection.execute("UPDATE task SET status = 'REVOKED' WHERE id = 1")
            refused_at.append("commit")
            connection.commit()
        except psycopg.errors.RaiseException:
            refused_at.append("refused")
            connection.rollback()

    landed = evidence(fault)
    fault.heal()

    assert before is None
    assert landed == {"refused": 1}
    assert refused_at == (["commit", "refused"] if deferred else ["refused"])
    with psycopg.connect(table, autocommit=True) as connection:
        connection.execute("UPDATE task SET status = 'REVOKED' WHERE id = 1")
        rows = connection.execute("SELECT status FROM task ORDER BY id").fetchall()
    assert rows == [("REVOKED",), ("STARTED",)]


def test_refused_writes_heal_twice(table: str) -> None:
    """Healing what is healed is harmless, and a refusal that never came is still none afterwards."""
    fault = refuse_writes(table, "task", "NEW.id = 1")
    before = fault.landed()
    fault.inject()
    fault.landed()

    fault.heal()
    fault.heal()

    assert (before, fault.landed()) == (None, None)

    with psycopg.connect(table, autocommit=True) as connection:
        connection.execute("UPDATE task SET status = 'STARTED'")


def test_terminated_connections_are_all_but_the_harness_own(table: str) -> None:
    """Every connection to the database ends but those whose name is spared; the evidence is the ended backends."""
    with (
        closing(psycopg.connect(table, application_name="tracker 1")) as victim,
        closing(psycopg.connect(table, autocommit=True, application_name="spared 1")) as spared,
    ):
        pid = victim.info.backend_pid
        fault = terminate_connections(table, "spared%")

        fault.inject()

        assert evidence(fault) == {"terminated": [pid]}
        with pytest.raises(psycopg.OperationalError):
            victim.execute("SELECT 1")
        assert spared.execute("SELECT 1").fetchone() == (1,)


def test_terminated_connections_are_those_of_one_database(table: str, servers: Servers) -> None:
    """Connections to the server's other databases go on."""
    other = postgres_url(servers.postgres)
    with closing(psycopg.connect(other, autocommit=True, application_name="tracker 2")) as elsewhere:
        fault = terminate_connections(table)

        fault.inject()

        assert elsewhere.execute("SELECT 1").fetchone() == (1,)


def test_terminating_where_nobody_is_does_not_land(table: str) -> None:
    """Where no connection is, nothing was hit."""
    fault = terminate_connections(table)

    fault.inject()

    assert fault.landed() is None


# -- Redis ---------------------------------------------------------------------------------------------------------


def test_paused_clients_are_answered_once_it_is_healed(own_servers: Servers) -> None:
    """A paused server answers nobody, which the fault itself feels; after healing everybody is answered."""
    fault = pause_clients(own_servers.redis, 1.5)

    fault.inject()
    landed = evidence(fault)
    fault.heal()
    began = time.monotonic()
    with closing(open_redis(own_servers.redis)) as client:
        client.ping()

    assert landed["unanswered_s"] >= 0.2
    assert time.monotonic() - began < 1.0


def test_eviction_takes_what_expires_and_leaves_queues(own_servers: Servers) -> None:
    """The server itself gives up every key of the pattern, keeps what does not expire, and has its memory back."""
    with closing(open_redis(own_servers.redis)) as client:
        client.rpush("queue", "message")
        for number in range(20):
            client.set(f"result-{number}", "value", ex=60)
        fault = evict(own_servers.redis, 0, "result-*")

        fault.inject()
        landed = fault.landed()
        fault.heal()

        assert landed is not None
        assert landed["evicted"] >= 20
        assert client.keys() == ["queue"]
        assert client.config_get("maxmemory")["maxmemory"] == "0"


def test_a_hidden_table_is_missed_and_comes_back(table: str) -> None:
    """Whoever asks for it fails, which the server counts; healed, it is as it was."""
    fault = hide_table(table, "task")

    fault.inject()
    with pytest.raises(psycopg.errors.UndefinedTable), psycopg.connect(table) as connection:
        connection.execute("SELECT count(*) FROM task")
    landed = evidence(fault)
    fault.heal()
    with psycopg.connect(table) as connection:
        connection.execute("SELECT count(*) FROM task")

    assert landed["rolled_back"] >= 1


def test_a_hidden_hash_is_refused_and_comes_back(servers: Servers) -> None:
    """Whoever asks for it is refused, which the server counts; healed, it is as it was."""
    with closing(open_redis(servers.redis, 4002)) as client:
        client.hset("progress", "t", "half")
        fault = hide_hash(servers.redis, 4002, "progress")

        fault.inject()
        before = fault.landed()
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.hget("progress", "t")
        landed = fault.landed()
        fault.heal()

        assert before is None
        assert landed == {"refused": 1}
        assert client.hgetall("progress") == {"t": "half"}


def test_an_expired_visibility_moves_every_unacknowledged_message(servers: Servers) -> None:
    """All unacknowledged messages become overdue, and their number is the evidence."""
    with closing(open_redis(servers.redis, 4001)) as client:
        client.zadd("unacked_index", {"tag-1": time.time(), "tag-2": time.time()})
        fault = expire_visibility(servers.redis, 4001)

        fault.inject()

        assert fault.landed() == {"messages": 2}
        assert client.zrange("unacked_index", 0, -1, withscores=True) == [("tag-1", 0.0), ("tag-2", 0.0)]


def test_an_expired_visibility_without_messages_does_not_land(servers: Servers) -> None:
    """Where nothing is unacknowledged, nothing was hit."""
    fault = expire_visibility(servers.redis, 4002)

    fault.inject()

    assert fault.landed() is None


# -- whole servers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill_it", [False, True], ids=["stopped", "killed"])
def test_a_restarted_server_is_away_until_healed(own_servers: Servers, *, kill_it: bool) -> None:
    """A server is gone between injection and healing, whose evidence is its old process; then it answers again."""
    for server in (own_servers.postgres, own_servers.redis):
        before = server.process.member().pid
        fault = restart(server, kill_it=kill_it)

        fault.inject()
        landed = evidence(fault)
        away = not server.process.running
        fault.heal()
        fault.heal()

        assert landed == {"stopped": before}
        assert away
        assert server.process.running
        assert server.process.member().pid != before
    with psycopg.connect(postgres_url(own_servers.postgres)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with closing(open_redis(own_servers.redis)) as client:
        assert client.ping()


def test_a_restart_that_was_not_injected_has_not_landed(servers: Servers) -> None:
    """A server that runs is no evidence."""
    assert restart(servers.redis).landed() is None
