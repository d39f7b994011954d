"""A worker is killed and its task delivered again, by pytest-celery's own fixtures, each made anew for the test.

Not collected with the project's tests: `make bench` names it. The images are those of the runtime `containers`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_docker_tools
from celery import Celery
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestSetup,
    CeleryWorkerContainer,
    RedisTestBackend,
    RedisTestBroker,
)

from tests.plain_pytest_celery import held_task

VISIBILITY_TIMEOUT_S = 1

# A machine that has /.dockerenv is taken for a container, in which ports would be looked for elsewhere.
pytest_docker_tools.wrappers.container.tests_inside_container = lambda: False

celery_base_worker_image = pytest_docker_tools.image(name=os.environ["BENCH_WORKER_IMAGE"])


class Worker(CeleryWorkerContainer):
    """The default image brings its command along; this one is told."""

    @classmethod
    def command(cls, *_: str, **__: Any) -> list[str]:
        """As the default image's."""
        return ["sh", "-c", "cd /app && exec celery -A app worker -l INFO -n celery_test_worker@%h -Q celery"]


@pytest.fixture
def default_worker_container_cls() -> type[CeleryWorkerContainer]:
    """See `Worker`."""
    return Worker


@pytest.fixture
def default_redis_broker_image() -> str:
    """The same as the harness uses."""
    return os.environ["BENCH_REDIS_IMAGE"]


@pytest.fixture
def default_redis_backend_image() -> str:
    """The same as the harness uses."""
    return os.environ["BENCH_REDIS_IMAGE"]


@pytest.fixture
def celery_broker_cluster(celery_redis_broker: RedisTestBroker) -> Iterator[CeleryBrokerCluster]:
    """Redis alone."""
    cluster = CeleryBrokerCluster(celery_redis_broker)
    yield cluster
    cluster.teardown()


@pytest.fixture
def celery_backend_cluster(celery_redis_backend: RedisTestBackend) -> Iterator[CeleryBackendCluster]:
    """Redis alone."""
    cluster = CeleryBackendCluster(celery_redis_backend)
    yield cluster
    cluster.teardown()


@pytest.fixture
def default_worker_tasks(default_worker_tasks: set[Any]) -> set[Any]:
    """With the task that is held."""
    return default_worker_tasks | {held_task}


@pytest.fixture
def default_worker_app(default_worker_app: Celery) -> Celery:
    """With a visibility time-out that a test can wait for."""
    default_worker_app.conf.broker_transport_options = {"visibility_timeout": VISIBILITY_TIMEOUT_S}
    return default_worker_app


def test_killed_and_delivered_again(celery_setup: CeleryTestSetup) -> None:
    """The worker is killed, the visibility time-out passes, the worker starts again and receives the task again."""
    result = held_task.hold_until_redelivered.s().apply_async()
    celery_setup.worker.wait_for_log("received")
    celery_setup.worker.kill(signal.SIGKILL)
    time.sleep(VISIBILITY_TIMEOUT_S)  # a plain test has no other way to let it pass
    celery_setup.worker.container.restart()

    assert result.get(timeout=120) == "redelivered"
