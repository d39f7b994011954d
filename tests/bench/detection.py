"""Detection, counted: a worker is killed with a task in its hands, again and again, while another one lives.

When it is killed falls anywhere between two heartbeats and two sweeps. Each cluster sees a few deaths, so that a
history stays short enough to be read.
"""

from __future__ import annotations

import shutil
import statistics
from random import Random

from rich.progress import track

from harness import Cluster, History, Verdict, certify, dead_tasks_closed, kill
from harness._checks_liveness import GIVEN_UP
from harness._executions import executions
from tests.bench.world import Bench, clusters_on, console

KILLS = 100
KILLS_A_CLUSTER = 10


def run(bench: Bench) -> bool:
    """Whether every task of a killed worker was closed within the bound."""
    kills = bench.rounds or KILLS
    took_s: list[float] = []
    bound_s = 0.0
    with clusters_on("embedded", bench.home) as clusters:
        for first in track(range(0, kills, KILLS_A_CLUSTER), "killing workers", console=console, transient=True):
            directory = bench.home / f"from-{first}"
            numbers = range(first, min(kills, first + KILLS_A_CLUSTER))
            with clusters.cluster("detection", directory, defect=bench.defect) as cluster:
                bound_s = cluster.timing.recovery_bound_s
                cluster.worker("survivor")
                for number in numbers:
                    _kill_one(cluster, f"victim-{number}", bench.chance("detection", number))
                cluster.journal.catch_up()
                judgement = certify(cluster.history, [dead_tasks_closed(bound_s)])
            seconds = [second for second in _seconds_to_close(cluster.history) if second <= bound_s]
            took_s += seconds
            if judgement.verdict is Verdict.PASS and len(seconds) == len(numbers):
                shutil.rmtree(directory)
            else:
                console.print(f"{judgement.verdict}: {judgement.reason}\n  {cluster.history.path}")
    shares = ""
    if took_s:
        shares = f"; median {statistics.median(took_s) / bound_s:.0%}, slowest {max(took_s) / bound_s:.0%} of the bound"
    said = f"{len(took_s)} of {kills} killed workers' tasks closed within the bound of {bound_s:g} s{shares}"
    console.print(f"{said}; seed {bench.seed}")
    return len(took_s) == kills


def _kill_one(cluster: Cluster, name: str, chance: Random) -> None:
    victim = cluster.worker(name)
    task = cluster.publish("hold", queue=name)
    task.await_mark()
    cluster.watch([task], chance.uniform(0, 2 * (cluster.timing.heartbeat_s + cluster.timing.sweep_interval_s)))
    cluster.inject(kill(victim.process))
    cluster.await_record(task, GIVEN_UP)


def _seconds_to_close(history: History) -> list[float]:
    """From each death that landed to the first look at a closed record; deaths whose tasks stay open have none."""
    took = []
    for execution in executions(history):
        looks = [look for look in history.observations("record", execution.task) if look.value["status"] in GIVEN_UP]
        if execution.dead and looks:
            assert execution.killed_at is not None
            took.append(looks[0].at - execution.killed_at)
    return took
