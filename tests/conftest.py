"""What the tests share: one real pair of servers a process, a fresh database a test, and a scratch directory."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import uvicorn
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine

from harness._binaries import find_postgres, find_redis
from harness._embedded_servers import free_port, start_servers
from harness._processes import await_until
from harness._scratch import Scratch, default_root, remove_run
from harness._servers import LOOPBACK, Servers, create_database, drop_database, open_redis
from reference_impl.api import create_api
from reference_impl.lifecycle import Event, Failed, Owner, Published, Started, Succeeded
from reference_impl.registry import Registry
from reference_impl.reports import Report
from reference_impl.returned import form_of
from reference_impl.schema import migrate
from reference_impl.settings import ApiToken, load_settings
from reference_impl.stored_results import Kept, keep

PROJECT = Path(__file__).resolve().parent.parent
_TEMPLATE = "template_registry"

Launch = Callable[..., subprocess.Popen[str]]
RunPytest = Callable[..., subprocess.CompletedProcess[str]]
RunProgram = Callable[..., subprocess.CompletedProcess[str]]
Tracker = Callable[..., subprocess.CompletedProcess[str]]
Tell = Callable[..., None]

API_TOKEN = "token-of-everybody"  # noqa: S105 - of the tests


def pytest_configure() -> None:
    """Let Ctrl-C through to what the tests start: a job in a shell's background inherits that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
    yield create_database(servers.postgres, name)
    drop_database(servers.postgres, name)


@pytest.fixture(scope="session")
def registry_template(servers: Servers) -> str:
    """A database with the reference's schema, to be copied."""
    engine = _engine(create_database(servers.postgres, _TEMPLATE))
    migrate(engine)
    engine.dispose()
    return _TEMPLATE


@pytest.fixture
def registry_database(servers: Servers, registry_template: str) -> Iterator[str]:
    """The URL of a database of this test alone, with the reference's schema."""
    name = f"test_{uuid.uuid4().hex}"
    yield create_database(servers.postgres, name, registry_template)
    drop_database(servers.postgres, name)


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
    with closing(open_redis(servers.redis)) as client:
        yield client


@pytest.fixture(scope="session")
def outside() -> dict[str, str]:
    """The environment of somebody who starts a program by hand: nothing of this test run's own is in it."""
    own = ("PYTEST_", "CELERY_", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "CI", "BUILD_NUMBER")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


@pytest.fixture
def run_program(outside: dict[str, str]) -> RunProgram:
    """Runs a text as a Python program of its own, with these arguments, until it ends."""

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=outside,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def tracker(outside: dict[str, str], tmp_path: Path) -> Tracker:
    """Runs `python -m reference_impl ...` in an empty directory, with these environment variables."""

    def run(*arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "reference_impl", *arguments],
            cwd=tmp_path,
            env=outside | given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in ended.stderr
        return ended

    return run


@pytest.fixture
def tell(engine: Engine) -> Tell:
    """Reports an event of a task to the registry."""
    registry, who = Registry(engine), Owner(uuid.uuid4(), uuid.uuid4())

    def report(task_id: str, event: Callable[[Owner], Event] | Event, **said: Any) -> None:
        told = event(who) if callable(event) else event
        registry.apply(Report(task_id, told, "w1@host", "as told", task_name="mail.send", worker_id="w1@host", **said))

    return report


@pytest.fixture
def api_url(registry_database: str, tmp_path: Path) -> Iterator[str]:
    """Where an API serves the registry of this test."""
    settings = load_settings(
        database_url=registry_database, spool_directory=tmp_path, api_tokens=[ApiToken(token=SecretStr(API_TOKEN))]
    )
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_api(settings), host=LOOPBACK, port=port, log_level="warning"))
    serving = threading.Thread(target=server.run)
    serving.start()
    await_until("the API", lambda: server.started or None, 10)
    yield f"http://{LOOPBACK}:{port}"
    server.should_exit = True
    serving.join()


@pytest.fixture
def lives(engine: Engine, registry_database: str, tmp_path: Path) -> Registry:
    """One task of each kind: waiting, failed, done, and one whose result has expired."""
    registry, owner = Registry(engine), Owner(uuid.uuid4(), uuid.uuid4())
    settings = load_settings(database_url=registry_database)

    def tell(task: str, event: Any, **said: Any) -> None:
        registry.apply(Report(task, event, "w1@host", "as told", task_name="mail.send", worker_id="w1@host", **said))

    kept = keep(form_of({"sent": [1, 2]}), settings, lambda: tmp_path)
    for task in ("done", "expired", "failed", "waiting"):
        tell(task, Published())
    for task in ("done", "expired", "failed"):
        tell(task, Started(owner))
    tell("done", Succeeded(owner), kept=kept)
    tell("expired", Succeeded(owner), kept=Kept(**{**vars(kept), "expires_s": 0.001}))
    tell("failed", Failed(owner), error_type="ValueError", error_message="no such town")
    return registry


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of specification and reference, whose runs are recorded there and leave those of the user alone."""
    copy = tmp_path_factory.mktemp("copy") / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("scenarios", "tests/defects", "reference_impl"):
        shutil.copytree(PROJECT / part, copy / part, ignore=ignored)
    for file in ("pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / file, copy)
    return copy


@pytest.fixture
def scratch_root() -> Iterator[Path]:
    """A root for scratch directories that Postgres's own user can reach; what is left in it is removed."""
    with tempfile.TemporaryDirectory(prefix="celery-conformance-test-") as made:
        path = Path(made)
        path.chmod(0o755)
        yield path
        for left in path.iterdir():
            remove_run(left)


@pytest.fixture
def launch(project: Path, scratch_root: Path, outside: dict[str, str]) -> Iterator[Launch]:
    """Starts `python -m pytest ...` in the copy of the specification, in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", f"--scratch={scratch_root}", *arguments],
            cwd=project,
            env={**outside, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_pytest(launch: Launch) -> RunPytest:
    """Runs pytest in the copy of the specification to its end; output and errors come together."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = launch(*arguments, **environment)
        said, _ = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, said, "")

    return run


def _engine(url: str) -> Engine:
    return create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"), connect_args={"options": "-c timezone=UTC"}
    )
