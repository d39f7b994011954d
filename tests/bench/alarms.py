"""False alarms, counted: start-ups drawn at random on a busy machine, after which no living task may be touched."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from rich.progress import track

from harness import Finding, HarnessError, History, Verdict, live_tasks_untouched
from harness._clusters import Clusters
from harness._executions import executions
from tests.bench.load import busy_machine
from tests.bench.start_up import draw, longest_pause_s, play
from tests.bench.world import Bench, clusters_on, console

START_UPS = 200


@dataclass
class Count:
    """What was seen in all start-ups so far."""

    watched: int = 0
    touched: int = 0
    troubles: int = 0
    landed: int = 0
    set_aside: int = 0
    unjudged: int = 0

    def add(self, history: History, finding: Finding) -> None:
        """One start-up that counts."""
        self.watched += sum(
            any(execution.lives_at(look.at) for look in history.observations("record", execution.task))
            for execution in executions(history)
        )
        self.touched += len(finding.violations)
        self.troubles += len(history.faults("inject"))
        self.landed += len(history.faults("landed"))


def run(bench: Bench) -> bool:
    """Whether nothing was touched, and everything judged."""
    start_ups = bench.rounds or START_UPS
    count = Count()
    with busy_machine() as burners, clusters_on("embedded", bench.home) as clusters:
        for number in track(range(start_ups), "starting workers", console=console, transient=True):
            _start_up(bench, clusters, number, count)
    console.print(
        f"{start_ups} start-ups, seed {bench.seed}: {count.watched} live tasks watched, {count.touched} touched; "
        f"{count.landed} of {count.troubles} troubles landed, {burners} cores kept busy"
    )
    if count.set_aside:
        console.print(f"{count.set_aside} set aside, in which a pause came out longer than a lease")
    if count.unjudged:
        console.print(f"{count.unjudged} could not be judged")
    return not count.touched and not count.unjudged


def _start_up(bench: Bench, clusters: Clusters, number: int, count: Count) -> None:
    directory = bench.home / f"start-up-{number}"
    chance = bench.chance("alarms", number)
    trouble = None
    with clusters.cluster("alarms", directory, defect=bench.defect) as cluster:
        try:
            play(cluster, draw(chance, cluster.timing), chance)
        except HarnessError as error:
            trouble = f"{type(error).__name__}: {error}"
        cluster.journal.catch_up()
    if longest_pause_s(cluster.history) >= cluster.timing.lease_s:
        count.set_aside += 1
        shutil.rmtree(directory)
        return
    finding = live_tasks_untouched()(cluster.history)
    count.add(cluster.history, finding)
    if finding.verdict is Verdict.PASS and trouble is None:
        shutil.rmtree(directory)
        return
    if not finding.violations:
        count.unjudged += 1
    console.print(f"start-up {number}: {trouble or finding.reason}\n  {cluster.history.path}")
