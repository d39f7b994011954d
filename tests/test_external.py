"""The external runtime: a run is a guest on servers that were there before, and leaves them as it found them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from harness import SetupBroken, UsageError, _spaces
from harness._external import ExternalServer, named_servers
from harness._processes import await_until
from harness._servers import Servers, create_database, drop_database, open_redis, postgres_url, redis_url
from harness._spaces import MARK, PREFIX, GuestSpaces
from tests.conftest import Launch, RunPytest

SECRET = "entre-nous"  # noqa: S105 - of a server that lives as long as the test
HOLDS_A_TASK = "test_force_does_not_replace_the_lease"
QUICK = "test_nobody_can_know"
WITHIN_S = 60.0


@pytest.fixture
def staging(own_servers: Servers) -> Iterator[dict[str, str]]:
    """Two servers of somebody else, who has a key and a database there, as the environment names them."""
    with closing(open_redis(own_servers.redis)) as client:
        client.set("somebody", "else")
        client.acl_setuser(
            "guest", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], channels=["*"], categories=["+@all"]
        )
    create_database(own_servers.postgres, f"{PREFIX}of_somebody_else")
    where = own_servers.redis
    yield {
        "CELERY_CONFORMANCE_POSTGRES_URL": postgres_url(own_servers.postgres),
        "CELERY_CONFORMANCE_REDIS_URL": f"redis://guest:{SECRET}@{where.host}:{where.port}",
    }
    drop_database(own_servers.postgres, f"{PREFIX}of_somebody_else")


def there(servers: Servers) -> tuple[list[str], dict[int, list[str]]]:
    """Every database of the Postgres, and every key of the first databases of the Redis."""
    with psycopg.connect(postgres_url(servers.postgres)) as connection:
        databases = [name for (name,) in connection.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall()]
    keys = {}
    for number in range(16):
        with closing(open_redis(servers.redis, number)) as client:
            found = sorted(str(key) for key in client.scan_iter())
        if found:
            keys[number] = found
    return databases, keys


def test_a_run_leaves_the_servers_as_it_found_them(
    run_pytest: RunPytest, own_servers: Servers, staging: dict[str, str]
) -> None:
    """Scenarios pass on servers with passwords; afterwards what was there is there, and nothing else."""
    before = there(own_servers)

    run = run_pytest("scenarios", "--runtime=external", "-k", f"{QUICK} or {HOLDS_A_TASK}", **staging)

    assert run.returncode == 0, run.stdout
    assert "runtime external, broker redis" in run.stdout
    assert SECRET not in run.stdout
    assert there(own_servers) == before


def test_the_next_start_removes_what_a_killed_run_left(
    launch: Launch, run_pytest: RunPytest, own_servers: Servers, staging: dict[str, str]
) -> None:
    """A run killed in the middle of a scenario leaves a database and keys; those of others are not touched."""
    before = there(own_servers)
    killed = launch("scenarios", "--runtime=external", "-k", HOLDS_A_TASK, **staging)
    await_until("the keys of a worker", lambda: len(there(own_servers)[1].get(1, [])) > 1, WITHIN_S)
    killed.kill()
    killed.wait()
    left = there(own_servers)

    following = run_pytest("scenarios", "--runtime=external", "-k", QUICK, **staging)

    assert left != before
    assert following.returncode == 0, following.stdout
    assert there(own_servers) == before


def test_what_stops_servers_is_not_applicable(run_pytest: RunPytest, staging: dict[str, str]) -> None:
    """Nobody stops the servers of others: the promise's other scenario is judged alone."""
    run = run_pytest("scenarios", "--runtime=external", "--promise=STALE-27", **staging)

    assert run.returncode == 0, run.stdout
    assert "not applicable STALE-27   test_the_whole_cluster_goes_down_and_up" in run.stdout
    assert "1 pass" in run.stdout


def test_nothing_of_a_run_is_kept(run_pytest: RunPytest, staging: dict[str, str]) -> None:
    """--keep is refused: there is no place where it could stay."""
    run = run_pytest("scenarios", "--runtime=external", "--keep", **staging)

    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--keep keeps what is on servers of the run's own" in run.stdout


def test_keys_of_others_survive_in_a_database_that_was_empty(servers: Servers, tmp_path: Path) -> None:
    """What somebody else writes there while a scenario runs is not Celery's, and stays."""
    spaces = GuestSpaces(tmp_path)
    database = spaces.take_redis(servers.redis, 1)
    with closing(open_redis(servers.redis, database)) as client:
        client.set("somebody", "else")
        client.rpush("queue", "message")
        client.rpush("queue\x06\x163", "message of a priority")
        client.sadd("_kombu.binding.queue", "queue\x06\x16\x06\x16queue")
        client.set("celery-task-meta-1", "{}")

        spaces.leave_redis(servers.redis, database)

        assert [str(key) for key in client.scan_iter()] == ["somebody"]
        client.flushdb()


def test_two_guests_take_two_databases(servers: Servers, tmp_path: Path) -> None:
    """A database is marked before anything is written to it."""
    spaces = GuestSpaces(tmp_path)
    taken = [spaces.take_redis(servers.redis, 1) for _ in range(2)]

    with closing(open_redis(servers.redis, taken[0])) as client:
        assert client.get(MARK) == spaces.comment
    for database in taken:
        spaces.leave_redis(servers.redis, database)

    assert len(set(taken)) == 2


def test_without_an_empty_database_the_way_is_told(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose only database is in use is not written to."""
    monkeypatch.setattr(_spaces, "redis_databases", lambda _: 1)
    with closing(open_redis(servers.redis)) as client:
        client.set("somebody", "else")

        with pytest.raises(SetupBroken, match=r"every database of the Redis at .* has keys in it.*_REDIS_URL"):
            GuestSpaces(tmp_path).take_redis(servers.redis, 1)

        assert list(client.scan_iter()) == ["somebody"]
        client.flushdb()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (None, "set CELERY_CONFORMANCE_POSTGRES_URL in the environment"),
        (f"mysql://me:{SECRET}@host/db", "expected postgres://user:password@host:5432, got the scheme 'mysql'"),
        (f"postgresql://me:{SECRET}@host:many/db", "CELERY_CONFORMANCE_POSTGRES_URL is no URL"),
        (f"postgresql://me:{SECRET}@", "and the host None"),
    ],
)
def test_what_is_no_server_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str | None, told: str
) -> None:
    """The message says what was expected, and shows no secret."""
    monkeypatch.delenv("CELERY_CONFORMANCE_POSTGRES_URL", raising=False)
    if url is not None:
        monkeypatch.setenv("CELERY_CONFORMANCE_POSTGRES_URL", url)

    with pytest.raises(UsageError) as caught:
        named_servers(with_rabbitmq=False)

    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_server_that_does_not_answer_is_told(run_pytest: RunPytest, staging: dict[str, str]) -> None:
    """By its address, with pytest's code for wrong use, and without a traceback."""
    nowhere = staging | {"CELERY_CONFORMANCE_POSTGRES_URL": f"postgresql://me:{SECRET}@127.0.0.1:1"}

    run = run_pytest("scenarios", "--runtime=external", "-k", QUICK, **nowhere)

    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "the Postgres at 127.0.0.1:1 does not let us in" in run.stdout
    assert "Traceback" not in run.stdout
    assert SECRET not in run.stdout


def test_a_server_of_others_cannot_be_stopped() -> None:
    """A fault that needs its process is told which marker the scenario lacks."""
    server = ExternalServer("redis", "127.0.0.1", 6379, "me:secret@")

    for act in (server.start, server.stop, server.forget):
        with pytest.raises(SetupBroken, match="redis is not this run's own: mark the scenario"):
            act()
    server.destroy()

    assert server.running
    assert redis_url(replace(server, login="")) == "redis://127.0.0.1:6379/0"
