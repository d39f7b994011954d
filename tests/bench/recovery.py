"""One recovery three times: in the embedded runtime, in containers, and as a plain pytest-celery test.

A worker is killed, and its task delivered again. The ways take turns in every round; the plain test's fixtures make
everything anew. Without an engine, or without images, nothing is measured.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.table import Table

from harness import Cluster, SetupBroken, expire_visibility, kill
from harness._engine import open_engine
from harness._images import require_images
from tests.bench.world import Bench, clusters_on, console

ROUNDS = 5
PLAIN = "tests/plain_pytest_celery/recovery.py"


def run(bench: Bench) -> bool:
    """The first round sets up, and is not counted."""
    try:
        with closing(open_engine()) as client:
            images = require_images(client, with_rabbitmq=False)
    except SetupBroken as error:
        console.print(f"no recovery is measured: {error}")
        return True
    took: dict[str, list[float]] = {"embedded": [], "containers": [], "plain pytest-celery": []}
    home = bench.home
    with clusters_on("embedded", home) as embedded, clusters_on("containers", home) as containers:
        for number in range((bench.rounds or ROUNDS) + 1):
            for name, clusters in (("embedded", embedded), ("containers", containers)):
                began = time.monotonic()
                with clusters.cluster("recovery", home / f"{name}-{number}") as cluster:
                    _recover(cluster)
                took[name].append(time.monotonic() - began)
            took["plain pytest-celery"].append(_recover_plainly(home / f"plain-{number}.xml", images))
    _print({name: seconds[1:] for name, seconds in took.items()})
    return True


def _recover(cluster: Cluster) -> None:
    """A worker is killed in the middle of a task, which another one runs to its end."""
    victim = cluster.worker("a")
    task = cluster.hold("a", task="hold_late")
    cluster.inject(kill(victim.process))
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    task.release()
    cluster.worker("b", queues=["a"])
    cluster.result(task)


def _recover_plainly(junit: Path, images: Mapping[str, str]) -> float:
    """Seconds of the plain test with its set-up and tear-down, as pytest reports them."""
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir=.", "-p", "docker_tools"]
    named = {"BENCH_WORKER_IMAGE": images["worker"], "BENCH_REDIS_IMAGE": images["redis"]}
    done = subprocess.run(
        [*command, PLAIN, f"--junitxml={junit}"], env={**os.environ, **named}, check=False, capture_output=True
    )
    if done.returncode:
        raise SetupBroken(f"the plain test failed:\n{done.stdout.decode()[-2000:]}")
    (case,) = ET.parse(junit).iter("testcase")  # noqa: S314 - written by our own pytest a moment ago
    return float(case.attrib["time"])


def _print(took: Mapping[str, list[float]]) -> None:
    """Side by side, each beside the embedded runtime."""
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    table = Table("a worker is killed, its task delivered again", "median", "range", "ratio", box=None)
    for name, seconds in took.items():
        ratio = medians[name] / medians["embedded"]
        table.add_row(name, f"{medians[name]:.2f} s", f"{min(seconds):.2f} to {max(seconds):.2f} s", f"{ratio:.1f}")
    console.print(table)
