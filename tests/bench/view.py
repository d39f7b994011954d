"""The operations view beside a hundred thousand stored results and a million, and the way of KEYS and GET beside it.

Both ways take turns on one Redis. The other way asks for all keys that look like a result, reads each, a thousand at a
time, counts them and sorts them by their ends. Somebody else asks the same Redis for a sign of life all the time.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import redis
from rich.table import Table

from harness import Cluster, Stored
from harness._bystander import Bystander
from harness._servers import open_redis
from harness._surfaces import Api
from tests.bench.world import Bench, clusters_on, console

ROUNDS = 5
SIZES = (100_000, 1_000_000)
PART = 100_000
RECENT = 20


@dataclass(frozen=True)
class Took:
    """How long one answer took, and how long somebody else had to wait meanwhile, in seconds."""

    seconds: float
    waited_s: float


def run(bench: Bench) -> bool:
    """Holds if both ways count the same."""
    rounds = bench.rounds or ROUNDS
    held = True
    table = Table("stored results", "way", "median", "longest wait of another client", box=None)
    with clusters_on("embedded", bench.home) as clusters, clusters.cluster("view", bench.home) as cluster:
        cluster.worker("a")
        api, stored = cluster.api(), 0
        for size in SIZES:
            first_s = _fill(cluster, api, size - stored)
            stored = size
            took: dict[str, list[Took]] = {"sitrep": [], "KEYS and GET": []}
            for _ in range(rounds):
                took["sitrep"].append(_beside(cluster, lambda: _fresh(cluster, api)))
                took["KEYS and GET"].append(_beside(cluster, lambda: _keys_and_get(cluster)))
            for way, each in took.items():
                median = statistics.median(one.seconds for one in each)
                waited = max(one.waited_s for one in each)
                table.add_row(f"{size:,}", way, f"{median:.2f} s", f"{1000 * waited:.0f} ms")
            told = api.ask_sitrep()["figures"]["completed"]
            held = held and told == size == _keys_and_get(cluster)
            console.print(
                f"{size:,}: the last {PART:,} were adopted in {first_s:.1f} s; {told:,} are told as completed"
            )
    console.print(table)
    console.print(f"{rounds} rounds in turn; a sitrep waits {cluster.timing.ping_timeout_s:g} s for workers")
    return held


def _fill(cluster: Cluster, api: Api, count: int) -> float:
    """Store so many more; how long the view took to read the last part."""
    seconds = 0.0
    for begin in range(0, count, PART):
        cluster.store([Stored() for _ in range(min(PART, count - begin))])
        began = time.monotonic()
        while api.await_sitrep(lambda told: told["remarks"]["unread"] == 0)["remarks"]["unread"]:
            continue
        seconds = time.monotonic() - began
    return seconds


def _fresh(cluster: Cluster, api: Api) -> None:
    """One answer that was gathered for it."""
    while api.ask_sitrep()["remarks"]["age_seconds"] > cluster.timing.sitrep_ttl_s / 2:
        continue


def _beside(cluster: Cluster, work: Callable[[], object]) -> Took:
    time.sleep(cluster.timing.sitrep_ttl_s)  # so that the next answer is gathered anew
    with Bystander(open_redis(cluster.servers.redis, cluster.redis_database)) as bystander:
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
    return Took(seconds, bystander.longest_s)


def _keys_and_get(cluster: Cluster) -> int:
    """How many have succeeded; the newest are found by the way."""
    with closing(open_redis(cluster.servers.redis, cluster.redis_database)) as client:
        metas = [json.loads(text) for text in _all(client) if text]
    counts = Counter(meta["status"] for meta in metas)
    sorted(metas, key=lambda meta: meta["date_done"], reverse=True)[:RECENT]
    return counts["SUCCESS"]


def _all(client: redis.Redis) -> list[str | bytes | None]:
    keys = client.keys("celery-task-meta-*")
    parts = (keys[begin : begin + 1000] for begin in range(0, len(keys), 1000))
    return list(itertools.chain.from_iterable(client.mget(part) for part in parts))
