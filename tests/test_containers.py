"""The containers runtime against a real engine: what its faults do, and that nothing of a run stays.

Without an engine or its images these tests are skipped, and fail in CI.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import psycopg
import pytest

from harness import SetupBroken, _rabbitmq, disconnect, exhaust_memory, kill, pause, restart
from harness._container import ContainerProcess
from harness._containers import ContainersRuntime
from harness._engine import HOST_LABEL, SCRATCH_LABEL, labels, labels_of, open_engine, remove_dead
from harness._images import require_images
from harness._processes import await_until
from harness._runtime import Conditions
from harness._servers import open_redis, postgres_url, rabbitmq_url, redis_url
from harness._spaces import PREFIX, GuestSpaces
from tests.conftest import Launch, RunPytest

WITHIN_S = 60.0
HOLDS_A_TASK = "test_force_does_not_replace_the_lease"
QUICK = "test_nobody_can_know"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine, with all images there."""
    try:
        client = open_engine()
        require_images(client)
    except SetupBroken as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield client
    client.close()


@pytest.fixture
def runtime(engine: docker.DockerClient, tmp_path: Path) -> Iterator[ContainersRuntime]:
    """A runtime of a run whose scratch directory exists."""
    made = ContainersRuntime(tmp_path, tmp_path / "logs")
    yield made
    made.stop()


def idle(
    runtime: ContainersRuntime, directory: Path, program: str = "import time; time.sleep(600)"
) -> ContainerProcess:
    """A started container with two processes, of which the first does what is asked."""
    name = f"idle-{uuid.uuid4().hex[:8]}"
    script = f"import os, time\nif os.fork() == 0:\n    time.sleep(600)\n{program}\n"
    process = runtime.worker(name, ["python", "-c", script], {}, directory, Conditions(memory_mb=64))
    process.start()
    await_until("both processes", lambda: len(process.members()) == 2, WITHIN_S)
    return process


def labelled(engine: docker.DockerClient, scratch: Path) -> list[str]:
    """Everything of a run that the engine still has."""
    wanted = {"label": f"{SCRATCH_LABEL}={scratch}"}
    things = [
        *engine.containers.list(all=True, filters=wanted, ignore_removed=True),
        *engine.networks.list(filters=wanted),
        *engine.volumes.list(filters=wanted),
    ]
    return [thing.name for thing in things]


# -- faults --------------------------------------------------------------------------------------------------------


def test_the_first_process_takes_the_others_with_it(runtime: ContainersRuntime, tmp_path: Path) -> None:
    """A killed child falls alone; after the first process nobody is left, and the evidence names all."""
    process = idle(runtime, tmp_path)
    child = max(process.own_pid(member) for member in process.members())
    alone = kill(process, pid=child)
    alone.inject()
    await_until("the child's end", alone.landed, WITHIN_S)
    assert process.running

    whole = kill(process, whole=False)
    whole.inject()

    assert await_until("the end", whole.landed, WITHIN_S) == {"killed": [1]}
    assert process.wait(WITHIN_S) == 128 + signal.SIGKILL


def test_a_paused_container_goes_on_where_it_was(runtime: ContainersRuntime, tmp_path: Path) -> None:
    """It has the same processes after, and says who they are."""
    process = idle(runtime, tmp_path)
    before = {process.own_pid(member) for member in process.members()}
    fault = pause(process)
    fault.inject()

    evidence = fault.landed()
    fault.heal()

    assert evidence is not None
    assert set(evidence["paused"]) == before
    assert pause(process).landed() is None
    assert {process.own_pid(member) for member in process.members()} == before


def test_off_the_network_and_back_at_the_same_address(runtime: ContainersRuntime, tmp_path: Path) -> None:
    """Connections that were open go on, as nobody else was given the address."""
    process = idle(runtime, tmp_path)
    network = next(iter(process.container.attrs["NetworkSettings"]["Networks"]))

    def address() -> str:
        process.container.reload()
        found: str = process.container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
        return found

    before = address()
    fault = disconnect(process)
    assert fault.landed() is None
    fault.inject()
    assert fault.landed() == {"interfaces": ["lo"]}
    idle(runtime, tmp_path)

    fault.heal()

    assert address() == before


def test_an_ordinary_death_is_no_lack_of_memory(runtime: ContainersRuntime, tmp_path: Path) -> None:
    """A process that is gone is not evidence that memory ran out; the engine has to say so too."""
    process = idle(runtime, tmp_path)
    fault = exhaust_memory(process, lambda: process.send(signal.SIGKILL))

    fault.inject()
    process.wait(WITHIN_S)

    assert fault.landed() is None


def test_a_process_that_outgrows_the_limit_is_killed(runtime: ContainersRuntime, tmp_path: Path) -> None:
    """The kernel ends it, and the engine tells."""
    begin = tmp_path / "begin"
    wait = f"while not os.path.exists({str(begin)!r}): time.sleep(0.01)  # the pace of looking"
    process = idle(runtime, tmp_path, f"{wait}\nheld = []\nwhile True: held.append(b'x' * 1_000_000)")
    fault = exhaust_memory(process, begin.touch)

    fault.inject()

    evidence = await_until("the lack of memory", fault.landed, WITHIN_S)
    assert 1 in evidence["killed"]
    assert evidence["out_of_memory"] >= 1


def test_a_server_starts_again_with_its_data_or_without(runtime: ContainersRuntime) -> None:
    """At the same address in both cases."""
    servers = runtime.start_servers("restarted")

    def stored() -> object:
        with closing(open_redis(servers.redis)) as client:
            return client.get("kept")

    with closing(open_redis(servers.redis)) as client:
        client.set("kept", "yes")
    with psycopg.connect(postgres_url(servers.postgres), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept ()")

    kept = restart(servers.redis)
    kept.inject()
    kept.heal()
    assert stored() == "yes"
    for server in (servers.redis, servers.postgres):
        lost = restart(server, lose_data=True)
        lost.inject()
        assert lost.landed() is not None
        lost.heal()

    assert stored() is None
    with psycopg.connect(postgres_url(servers.postgres)) as connection:
        assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)


# -- RabbitMQ ------------------------------------------------------------------------------------------------------


def test_a_guest_leaves_a_rabbitmq_as_it_found_it(
    engine: docker.DockerClient, tmp_path: Path, run_pytest: RunPytest
) -> None:
    """Scenarios pass through virtual hosts of their own; afterwards those of others are there, dead runs' are not."""
    runtime = ContainersRuntime(tmp_path, tmp_path / "logs", with_rabbitmq=True)
    try:
        servers = runtime.start_servers("staging")
        assert servers.rabbitmq is not None
        dead = GuestSpaces(tmp_path / "gone")
        _rabbitmq.create_vhost(servers.rabbitmq, f"{dead.prefix}s1", dead.comment)
        _rabbitmq.create_vhost(servers.rabbitmq, f"{PREFIX}of_somebody_else", "theirs")
        staging = {
            "CELERY_CONFORMANCE_POSTGRES_URL": postgres_url(servers.postgres),
            "CELERY_CONFORMANCE_REDIS_URL": redis_url(servers.redis),
            "CELERY_CONFORMANCE_RABBITMQ_URL": rabbitmq_url(servers.rabbitmq, ""),
        }

        run = run_pytest("scenarios", "--runtime=external", "--broker=rabbitmq", "-k", HOLDS_A_TASK, **staging)

        assert run.returncode == 0, run.stdout
        assert "runtime external, broker rabbitmq" in run.stdout
        assert set(_rabbitmq.vhosts(servers.rabbitmq)) == {"/", f"{PREFIX}of_somebody_else"}
    finally:
        runtime.stop()


# -- nothing stays -------------------------------------------------------------------------------------------------


def test_only_what_dead_runs_left_is_removed(
    engine: docker.DockerClient, runtime: ContainersRuntime, tmp_path: Path
) -> None:
    """Of three containers the paused one of a dead run goes; a living run's and a stranger's stay."""
    image, gone = runtime.images["redis"], tmp_path / "gone"
    living = engine.containers.run(image, detach=True, labels=labels(tmp_path))
    stranger = engine.containers.run(image, detach=True, labels={HOST_LABEL: "elsewhere", SCRATCH_LABEL: str(gone)})
    dead = engine.containers.run(image, detach=True, labels=labels(gone))
    dead.pause()
    engine.networks.create(f"dead-{uuid.uuid4().hex[:8]}", labels=labels(gone))
    engine.volumes.create(f"dead-{uuid.uuid4().hex[:8]}", labels=labels(gone))

    try:
        remove_dead(engine)

        living.reload()
        stranger.reload()
        assert labelled(engine, gone) == [stranger.name]
    finally:
        for container in (living, stranger):
            container.remove(force=True)


def of_runs_in(engine: docker.DockerClient, root: Path) -> list[str]:
    """What the engine has of any run with its scratch directory in `root`."""
    wanted = {"label": SCRATCH_LABEL}
    things = [
        *engine.containers.list(all=True, filters=wanted, ignore_removed=True),
        *engine.networks.list(filters=wanted),
    ]
    return [thing.name for thing in things if Path(labels_of(thing.attrs)[SCRATCH_LABEL]).is_relative_to(root)]


def await_a_worker(engine: docker.DockerClient, root: Path) -> None:
    """Two servers and a worker."""
    await_until("a worker in a container", lambda: len(of_runs_in(engine, root)) >= 4, WITHIN_S)


def test_the_next_start_removes_what_a_killed_run_left(
    engine: docker.DockerClient, launch: Launch, run_pytest: RunPytest, scratch_root: Path
) -> None:
    """A run killed in the middle of a scenario leaves containers and a network; after the next one nothing is left."""
    killed = launch("scenarios", "--runtime=containers", "-k", HOLDS_A_TASK)
    await_a_worker(engine, scratch_root)
    killed.kill()
    killed.wait()
    left = of_runs_in(engine, scratch_root)

    following = run_pytest("scenarios", "--runtime=containers", "-k", QUICK)

    assert len(left) >= 4
    assert following.returncode == 0, following.stdout
    assert of_runs_in(engine, scratch_root) == []
    assert list(scratch_root.iterdir()) == []


def test_an_interrupted_run_cleans_up_after_itself(
    engine: docker.DockerClient, launch: Launch, scratch_root: Path
) -> None:
    """Ctrl-C in the middle of a scenario: when the prompt is back, no container, network or file of the run is left."""
    run = launch("scenarios", "--runtime=containers", "-k", HOLDS_A_TASK)
    await_a_worker(engine, scratch_root)

    os.killpg(run.pid, signal.SIGINT)
    said, _ = run.communicate(timeout=WITHIN_S)

    assert run.returncode == pytest.ExitCode.INTERRUPTED, said
    assert "INTERNALERROR" not in said
    assert of_runs_in(engine, scratch_root) == []
    assert list(scratch_root.iterdir()) == []


def test_without_an_engine_the_way_to_one_is_told(run_pytest: RunPytest, tmp_path: Path) -> None:
    """In words, with pytest's code for wrong use, and at once."""
    began = time.monotonic()

    run = run_pytest("scenarios", "--runtime=containers", "-k", QUICK, DOCKER_HOST=f"unix://{tmp_path}/none.sock")

    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "no container engine answers" in run.stdout
    assert "apt install docker.io" in run.stdout
    assert "Traceback" not in run.stdout
    assert time.monotonic() - began < WITHIN_S
