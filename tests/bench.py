"""`make bench`: how fast the harness is, each figure as a share of what it may take.

Cluster-ready and tear-down are measured here, several times; the median scenario and the whole set come from one
conformance run with two helpers. Where an engine answers, one recovery (a worker is killed, its task delivered again)
is measured in turn in the embedded runtime, in containers, and as a plain pytest-celery test, whose fixtures make
everything anew. Nothing here fails on a slow machine: a benchmark is read, a test is passed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.table import Table

from harness import Cluster, SetupBroken, expire_visibility, kill
from harness._clusters import Clusters
from harness._engine import open_engine
from harness._images import require_images
from harness._local import LocalPrograms
from harness._runtimes import RuntimeChoice
from harness._scratch import Scratch, default_root
from harness._subject import load_subject

ROUNDS = 5
PLAIN = "tests/plain_pytest_celery/recovery.py"
ALLOWED_S = {
    "cluster ready: servers, worker, first result": 2.0,
    "median scenario": 5.0,
    "the whole set, two helpers": 360.0,
    "tear-down of a cluster": 0.3,
}


def measure_clusters(home: Path) -> tuple[list[float], list[float]]:
    """Seconds to the first result of a fresh cluster once set up, and seconds to take it down."""
    ready, down = [], []
    with clusters_on("embedded", home) as clusters:
        for number in range(ROUNDS + 1):
            began = time.monotonic()
            with clusters.cluster("bench", home / str(number)) as cluster:
                cluster.worker("a")
                cluster.result(cluster.publish("ok", queue="a"))
                ready.append(time.monotonic() - began)
                ended = time.monotonic()
            down.append(time.monotonic() - ended)
    return ready[1:], down[1:]  # the first one starts the servers and prepares the template: that is set-up


def measure_set() -> tuple[list[float], float]:
    """Seconds of each scenario, and of the run."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "scenarios"]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    report = json.loads((Path(".conformance") / "latest" / "report.json").read_text())
    return [scenario["seconds"] for promise in report["promises"] for scenario in promise["scenarios"]], took


def recovery(cluster: Cluster) -> None:
    """A worker is killed in the middle of a task, which another one runs to its end."""
    victim = cluster.worker("a")
    task = cluster.hold("a", task="hold_late")
    cluster.inject(kill(victim.process))
    cluster.inject(expire_visibility(cluster.servers.redis, cluster.redis_database))
    task.release()
    cluster.worker("b", queues=["a"])
    cluster.result(task)


@contextmanager
def clusters_on(runtime: str, home: Path) -> Iterator[Clusters]:
    """Clusters of the reference on a runtime."""
    subject = load_subject("reference")
    scratch = Scratch(default_root(), f"bench-{home.name}-{runtime}")
    programs = LocalPrograms(scratch.path, subject.preload, home / f"forkserver-{runtime}.log")
    opened = RuntimeChoice(runtime).open(scratch.path, home / f"servers-{runtime}", programs)
    clusters = Clusters(subject, opened, programs, scratch, home)
    try:
        yield clusters
    finally:
        clusters.stop()


def measure_recoveries(home: Path, images: dict[str, str]) -> dict[str, list[float]]:
    """Seconds of each way, one after the other in every round; the first round sets up, and is not counted."""
    with clusters_on("embedded", home) as embedded, clusters_on("containers", home) as containers:
        took: dict[str, list[float]] = {"embedded": [], "containers": [], "plain pytest-celery": []}
        for number in range(ROUNDS + 1):
            for name, clusters in (("embedded", embedded), ("containers", containers)):
                began = time.monotonic()
                with clusters.cluster("recovery", home / f"{name}-{number}") as cluster:
                    recovery(cluster)
                took[name].append(time.monotonic() - began)
            took["plain pytest-celery"].append(plain_recovery(home / f"plain-{number}.xml", images))
    return {name: seconds[1:] for name, seconds in took.items()}


def plain_recovery(junit: Path, images: dict[str, str]) -> float:
    """Seconds of the plain test with its set-up and tear-down, as pytest reports them."""
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir=.", "-p", "docker_tools"]
    named = {"BENCH_WORKER_IMAGE": images["worker"], "BENCH_REDIS_IMAGE": images["redis"]}
    run = subprocess.run(
        [*command, PLAIN, f"--junitxml={junit}"], env={**os.environ, **named}, check=False, capture_output=True
    )
    if run.returncode:
        raise SystemExit(f"the plain test failed:\n{run.stdout.decode()[-2000:]}")
    (case,) = ET.parse(junit).iter("testcase")  # noqa: S314 - written by our own pytest a moment ago
    return float(case.attrib["time"])


def found_images() -> dict[str, str]:
    """The images of the containers runtime; none where there is no engine, or they are not built."""
    try:
        with closing(open_engine()) as client:
            return require_images(client, with_rabbitmq=False)
    except SetupBroken as error:
        Console().print(f"no recovery is measured: {error}")
        return {}


def print_recoveries(took: dict[str, list[float]]) -> None:
    """Side by side, each beside the fastest."""
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    table = Table("a worker is killed, its task delivered again", "median", "range", "ratio", box=None)
    for name, seconds in took.items():
        ratio = medians[name] / medians["embedded"]
        table.add_row(name, f"{medians[name]:.2f} s", f"{min(seconds):.2f} to {max(seconds):.2f} s", f"{ratio:.1f}")
    Console().print(table)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as home:
        ready, down = measure_clusters(Path(home))
        if images := found_images():
            print_recoveries(measure_recoveries(Path(home), images))
    scenarios, whole = measure_set()
    measured = [statistics.median(ready), statistics.median(scenarios), whole, statistics.median(down)]
    table = Table("what", "measured", "allowed", "share", box=None)
    for (what, allowed), seconds in zip(ALLOWED_S.items(), measured, strict=True):
        table.add_row(what, f"{seconds:.2f} s", f"{allowed:g} s", f"{seconds / allowed:.0%}")
    Console().print(table)
    Console().print(f"{ROUNDS} clusters, {len(scenarios)} scenarios; medians, on this machine, in this run")


if __name__ == "__main__":
    main()
