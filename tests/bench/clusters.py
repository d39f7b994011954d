"""How soon a fresh cluster gives its first result, and how soon it is gone."""

from __future__ import annotations

import statistics
import time

from tests.bench.shares import print_shares
from tests.bench.world import Bench, clusters_on, console

ROUNDS = 5
READY = "cluster ready: servers, worker, first result"
DOWN = "tear-down of a cluster"
ALLOWED_S = {READY: 2.0, DOWN: 0.3}


def run(bench: Bench) -> bool:
    """Once set up: the first cluster starts the servers and prepares the template, and is not counted."""
    rounds = bench.rounds or ROUNDS
    ready, down = [], []
    with clusters_on("embedded", bench.home) as clusters:
        for number in range(rounds + 1):
            began = time.monotonic()
            with clusters.cluster("bench", bench.home / str(number)) as cluster:
                cluster.worker("a")
                cluster.result(cluster.publish("ok", queue="a"))
                ready.append(time.monotonic() - began)
                ended = time.monotonic()
            down.append(time.monotonic() - ended)
    print_shares({READY: statistics.median(ready[1:]), DOWN: statistics.median(down[1:])}, ALLOWED_S)
    console.print(f"medians of {rounds} clusters, on this machine, in this run")
    return True
