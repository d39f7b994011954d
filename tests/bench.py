"""`make bench`: how fast the harness is, each figure as a share of what it may take.

Cluster-ready and tear-down are measured here, several times; the median scenario and the whole set come from one
conformance run with two helpers. Nothing here fails on a slow machine: a benchmark is read, a test is passed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness._clusters import Clusters
from harness._embedded import EmbeddedRuntime
from harness._local import LocalPrograms
from harness._scratch import Scratch, default_root
from harness._subject import load_subject

ROUNDS = 5
ALLOWED_S = {
    "cluster ready: servers, worker, first result": 2.0,
    "median scenario": 5.0,
    "the whole set, two helpers": 180.0,
    "tear-down of a cluster": 0.3,
}


def measure_clusters(home: Path) -> tuple[list[float], list[float]]:
    """Seconds to the first result of a fresh cluster once set up, and seconds to take it down."""
    ready, down = [], []
    subject = load_subject("reference")
    scratch = Scratch(default_root(), f"bench-{home.name}")
    programs = LocalPrograms(scratch.path, subject.preload, home / "forkserver.log")
    runtime = EmbeddedRuntime(scratch.path, home / "servers", programs, postgres_bin=None, redis_server=None)
    clusters = Clusters(subject, runtime, programs, scratch, home)
    try:
        for number in range(ROUNDS + 1):
            began = time.monotonic()
            with clusters.cluster("bench", home / str(number)) as cluster:
                cluster.worker("a")
                cluster.result(cluster.publish("ok", queue="a"))
                ready.append(time.monotonic() - began)
                ended = time.monotonic()
            down.append(time.monotonic() - ended)
    finally:
        clusters.stop()
    return ready[1:], down[1:]  # the first one starts the servers and prepares the template: that is set-up


def measure_set() -> tuple[list[float], float]:
    """Seconds of each scenario, and of the run."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "scenarios"]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    report = json.loads((Path(".conformance") / "latest" / "report.json").read_text())
    return [scenario["seconds"] for promise in report["promises"] for scenario in promise["scenarios"]], took


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as home:
        ready, down = measure_clusters(Path(home))
    scenarios, whole = measure_set()
    measured = [statistics.median(ready), statistics.median(scenarios), whole, statistics.median(down)]
    table = Table("what", "measured", "allowed", "share", box=None)
    for (what, allowed), seconds in zip(ALLOWED_S.items(), measured, strict=True):
        table.add_row(what, f"{seconds:.2f} s", f"{allowed:g} s", f"{seconds / allowed:.0%}")
    Console().print(table)
    Console().print(f"{ROUNDS} clusters, {len(scenarios)} scenarios; medians, on this machine, in this run")


if __name__ == "__main__":
    main()
