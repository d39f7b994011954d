"""Reading statuses: how many a second, and how fast the slowest, beside a thousand records and beside a million.

Both registries have an API of their own on the same server, and take turns. Each record is that of a task that has
returned, with its result. The readers run beside the API, on the same machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random

from rich.table import Table

from harness import Cluster
from harness._surfaces import Api
from tests.bench.world import Bench, clusters_on, console

ROUNDS = 5
FEW, MANY = 1_000, 1_000_000
READERS = 4
READS = 1_000
"""By each reader, in each round."""

_RECORDS = """
    INSERT INTO celery_task_registry
        (task_id, task_name, status, attempts, queue, queued_at, started_at, completed_at, version)
    SELECT 'task-' || n, 'shop.send_mail', 'SUCCESS', 1, 'celery', at, at + interval '1 s', at + interval '2 s', 3
    FROM (SELECT n, now() - n * interval '1 s' AS at FROM generate_series(0, %s - 1) AS n) AS moments
"""
_RESULTS = """
    INSERT INTO celery_task_result (task_id, size_bytes, sha256, left_out, body, told, stored_at)
    SELECT 'task-' || n, 2, '', '[]', '42', true, now() FROM generate_series(0, %s - 1) AS n
"""
_READER = """
import sys, time, httpx2
url, token, *paths = sys.stdin.read().split()
took = []
with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
    client.get("/health")
    began = time.monotonic()
    for path in paths:
        asked = time.monotonic()
        assert client.get(path).status_code == 200, path
        took.append(time.monotonic() - asked)
    print(began, time.monotonic(), *took)
"""


def run(bench: Bench) -> bool:
    """Nothing is judged: all of it depends on the machine."""
    rounds = bench.rounds or ROUNDS
    chance = bench.chance("reading")
    read: dict[int, list[tuple[float, list[float]]]] = {FEW: [], MANY: []}
    with clusters_on("embedded", bench.home) as clusters, ExitStack() as opened:
        apis = {
            count: _filled(opened.enter_context(clusters.cluster("reading", bench.home / f"{count}")), count)
            for count in read
        }
        for _ in range(rounds):
            for count, api in apis.items():
                read[count].append(_read(api, count, chance))
        lists = {count: _listed(api) for count, api in apis.items()}
    _print(read, lists)
    console.print(f"{rounds} rounds in turn, {READERS} readers of {READS} statuses each, on the machine of the API")
    return True


def _filled(cluster: Cluster, count: int) -> Api:
    cluster.query(_RECORDS, count)
    cluster.query(_RESULTS, count)
    cluster.query("ANALYZE")
    return cluster.api()


def _read(api: Api, count: int, chance: Random) -> tuple[float, list[float]]:
    """Statuses read a second, and the seconds that each took."""
    paths = [[f"/tasks/task-{chance.randrange(count)}" for _ in range(READS)] for _ in range(READERS)]
    with ThreadPoolExecutor(READERS) as pool:
        told = list(pool.map(lambda asked: _ask(api, asked), paths))
    seconds = max(end for _, end, _ in told) - min(began for began, _, _ in told)
    return READERS * READS / seconds, [each for _, _, took in told for each in took]


def _ask(api: Api, paths: Sequence[str]) -> tuple[float, float, list[float]]:
    """In a process of its own, as a thread would wait for the other readers."""
    asked = " ".join([api.place.url, api.place.token, *paths])
    done = subprocess.run([sys.executable, "-c", _READER], input=asked, capture_output=True, text=True, check=True)
    began, end, *took = map(float, done.stdout.split())
    return began, end, took


def _listed(api: Api) -> float:
    """Seconds for a page of the list, by median."""
    _, _, took = _ask(api, ["/tasks?limit=50"] * 50)
    return statistics.median(took)


def _print(read: dict[int, list[tuple[float, list[float]]]], lists: dict[int, float]) -> None:
    table = Table("records", "statuses a second", "median", "p99", "a page of 50", box=None)
    for count, rounds in read.items():
        took = sorted(each for _, round_ in rounds for each in round_)
        table.add_row(
            f"{count:,}",
            f"{statistics.median(rate for rate, _ in rounds):.0f}",
            f"{1000 * statistics.median(took):.1f} ms",
            f"{1000 * took[int(0.99 * len(took))]:.1f} ms",
            f"{1000 * lists[count]:.1f} ms",
        )
    console.print(table)
    ratios = [many / few for (many, _), (few, _) in zip(read[MANY], read[FEW], strict=True)]
    console.print(f"a million beside a thousand: {statistics.median(ratios):.2f} of the statuses a second")
