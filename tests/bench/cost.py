"""What tracking costs: Celery on Redis alone beside Celery with the tracker, taking turns in one run.

Tasks that do nothing, so that whatever the tracker takes shows. One client publishes them as fast as it can; then a
worker with two prefork children, started when all of them wait, works them off. When each one was done its worker has
written beside its result, so nobody has to look on meanwhile. The tracker runs by its own defaults, and Postgres
does too: a commit waits for the disk.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

from rich.table import Table

from harness import Cluster, NeverCame, Timing
from harness._clusters import Clusters
from harness._servers import POSTGRES_SETTINGS, open_redis
from harness._subjects import load_subject
from reference_impl.settings import Settings
from tests.bench.world import Bench, clusters_on, console

ROUNDS = 7
TASKS = 2000
WARM_UP = 100
PATIENCE_S = 600.0
LESS_AT_MOST = {"publications": 0.15, "work": 0.10}
LIKE_ANY_POSTGRES = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB"}
ALIKE = {"CELERY_CONFORMANCE_PLAIN_RESULTS": "1"}
"""Of the two applications, one stores more with each result."""


@dataclass(frozen=True)
class Speed:
    """Tasks a second; reports that nobody waited for to the end, and records that never told theirs."""

    publications: float
    work: float
    late: int = 0
    untold: int = 0


def run(bench: Bench) -> bool:
    """Nothing is judged: both speeds depend on the machine, and their ratio somewhat too."""
    rounds = bench.rounds or ROUNDS
    alone, tracked = [], []
    home = bench.home
    with (
        patch.dict(POSTGRES_SETTINGS, LIKE_ANY_POSTGRES),
        clusters_on("embedded", home, load_subject("bare-celery")) as bare,
        clusters_on("embedded", home) as reference,
    ):
        for number in range(rounds):
            alone.append(_measure(bare, home / f"alone-{number}"))
            tracked.append(_measure(reference, home / f"tracked-{number}"))
    _print(alone, tracked)
    console.print(f"{rounds} rounds in turn, {TASKS} tasks that do nothing, one client, two prefork children")
    late, untold = sum(speed.late for speed in tracked), sum(speed.untold for speed in tracked)
    console.print(f"the tracker fell behind {late} times, and {untold} records do not tell how their task ended")
    return True


def _measure(clusters: Clusters, directory: Path) -> Speed:
    with clusters.cluster("cost", directory) as cluster:
        client = cluster.client(environment=ALIKE)
        client.ask("publish_many", task="noop", queue="warm-up", count=WARM_UP)
        took_s = client.ask("publish_many", task="noop", queue="work", count=TASKS, within_s=PATIENCE_S)
        cluster.worker("a", queues=["work"], concurrency=2, timing=_defaults(), environment=ALIKE)
        done = _completions(cluster)
        untold, late = _untold(cluster), _late_reports(cluster)
    worked_s = (done[-1] - done[0]).total_seconds()
    return Speed(TASKS / took_s, (TASKS - 1) / worked_s, late, untold)


def _completions(cluster: Cluster) -> list[datetime]:
    """The moment of each completion, in order, as stored with the results once all of them are there."""
    deadline = time.monotonic() + PATIENCE_S
    with closing(open_redis(cluster.servers.redis, cluster.redis_database)) as client:
        while time.monotonic() < deadline:
            if not client.llen("work"):
                keys = list(client.scan_iter("celery-task-meta-*", count=10_000))
                results = [json.loads(str(text)) for text in client.mget(keys)] if len(keys) == TASKS else []
                done = [result["date_done"] for result in results if result["status"] == "SUCCESS"]
                if len(done) == TASKS:
                    return sorted(map(datetime.fromisoformat, done))
            time.sleep(0.2)  # the pace of looking: seldom, so as to take nothing from the worker
        left = client.llen("work")
    raise NeverCame(f"{TASKS} results did not come within {PATIENCE_S:g} s; {left} tasks are left in the queue")


def _late_reports(cluster: Cluster) -> int:
    """How often nobody waited for the tracker any more: what it takes then is not in the figures."""
    return sum(process.log.read_text(errors="replace").count(" was not recorded: ") for process in cluster.processes)


def _untold(cluster: Cluster) -> int:
    """How many records do not tell the end of their task, once they have had the time to."""
    table = cluster.subject.tables.get("registry")
    if table is None:
        return 0
    count = f"SELECT count(*) FROM {table} WHERE status = 'SUCCESS'"
    with suppress(NeverCame):
        cluster.await_seen("the end in every record", lambda: cluster.query(count)[0][0] == TASKS or None)
    return TASKS - int(cluster.query(count)[0][0])


def _defaults() -> Timing:
    """The clockwork that the tracker has without any configuration, in the harness's words."""
    own = {name: field.default for name, field in Settings.model_fields.items() if field.default is not None}
    own["heartbeat_s"] = own["heartbeat_interval_s"]
    spans = (field.name for field in fields(Timing) if field.type == "float")
    return Timing(**{name: own[name] for name in spans if name in own})


def _print(alone: Sequence[Speed], tracked: Sequence[Speed]) -> None:
    table = Table("a second", "alone", "tracked", "ratio, median and range", "so", "aim", box=None)
    for what, at_most in LESS_AT_MOST.items():
        before, after = ([getattr(speed, what) for speed in speeds] for speeds in (alone, tracked))
        ratios = [with_it / without for with_it, without in zip(after, before, strict=True)]
        ratio = statistics.median(ratios)
        table.add_row(
            what,
            f"{statistics.median(before):.0f}",
            f"{statistics.median(after):.0f}",
            f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            f"{max(0.0, 1 - ratio):.0%} {'fewer' if what.endswith('s') else 'less'}",
            f"at most {at_most:.0%}: {'met' if 1 - ratio <= at_most else 'missed'}",
        )
    console.print(table)
