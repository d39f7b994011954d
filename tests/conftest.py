"""What the tests share: one real pair of servers a process, a fresh database a test, and a scratch directory."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import redis
from sqlalchemy import Engine, create_engine

from harness._binaries import find_postgres, find_redis
from harness._scratch import Scratch, default_root
from harness._servers import Servers, start_servers
from reference_impl.schema import migrate

_TEMPLATE = "template_registry"


@pytest.fixture(scope="session")
def scratch() -> Iterator[Scratch]:
    """Where this process's servers keep their data; under the default root, because `nobody` must reach it."""
    made = Scratch(default_root(), f"tests-{uuid.uuid4().hex[:12]}")
    yield made
    made.remove()


@pytest.fixture(scope="session")
def start_pair(scratch: Scratch, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Servers]:
    """Starts another pair of servers at each call."""
    numbers = itertools.count(1)
    logs = tmp_path_factory.mktemp("logs")
    postgres, redis_binary = find_postgres(None), find_redis(None)
    return lambda: start_servers(postgres, redis_binary, scratch.path, logs, f"t{next(numbers)}")


@pytest.fixture(scope="session")
def servers(start_pair: Callable[[], Servers]) -> Iterator[Servers]:
    """The pair that all tests share and none breaks."""
    pair = start_pair()
    yield pair
    pair.destroy()


@pytest.fixture
def own_servers(start_pair: Callable[[], Servers]) -> Iterator[Servers]:
    """A pair that the test may break."""
    pair = start_pair()
    yield pair
    pair.destroy()


@pytest.fixture
def database(servers: Servers) -> Iterator[str]:
    """The URL of an empty database of this test alone."""
    name = f"test_{uuid.uuid4().hex}"
    yield servers.postgres.create_database(name)
    servers.postgres.drop_database(name)


@pytest.fixture(scope="session")
def registry_template(servers: Servers) -> str:
    """A database with the reference's schema, to be copied."""
    engine = _engine(servers.postgres.create_database(_TEMPLATE))
    migrate(engine)
    engine.dispose()
    return _TEMPLATE


@pytest.fixture
def registry_database(servers: Servers, registry_template: str) -> Iterator[str]:
    """The URL of a database of this test alone, with the reference's schema."""
    name = f"test_{uuid.uuid4().hex}"
    yield servers.postgres.create_database(name, registry_template)
    servers.postgres.drop_database(name)


@pytest.fixture
def empty_engine(database: str) -> Iterator[Engine]:
    """An engine on a database without any table."""
    engine = _engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(registry_database: str) -> Iterator[Engine]:
    """An engine on a database with the reference's schema."""
    made = _engine(registry_database)
    yield made
    made.dispose()


@pytest.fixture
def redis_client(servers: Servers) -> Iterator[redis.Redis]:
    """A client of the shared server."""
    with closing(servers.redis.client()) as client:
        yield client


def _engine(url: str) -> Engine:
    return create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), connect_args={"options": "-c timezone=UTC"}
    )
