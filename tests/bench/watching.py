"""Watching a task: how soon three ways of waiting notice its end, and what hundreds of watchers cost the API.

The three wait for the same tasks at the same time, each through a place of its own that counts what it asks: over a
socket; by a client that has neither sockets nor answers that are held back, and asks the seldomer the longer; and by
asking every two seconds.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import httpx2
import psutil
from rich.table import Table

from harness import Cluster, Sockets
from harness._middlebox import Middlebox
from harness._surfaces import Api
from reference_impl.client import TrackerClient
from tests.bench.world import Bench, clusters_on, console

ROUNDS = 10
WAIT_S = (5.0, 60.0)
EVERY_S = 2.0
WATCHERS = 500
WATCHED_ROUNDS = 3
LIMIT_S = 120.0


@dataclass
class Way:
    """One way to wait: through which box, and how late each end was noticed."""

    box: Middlebox
    wait: Callable[[str], None]
    late_s: list[float] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    def notice(self, task_id: str) -> Callable[[], float]:
        """Begin to wait; what it gives is the moment at which the end was known."""
        known: list[float] = []
        before = self.box.passed.requests

        def waiting() -> None:
            self.wait(task_id)
            known.append(time.monotonic())
            self.requests.append(self.box.passed.requests - before)

        thread = threading.Thread(target=waiting)
        thread.start()

        def end() -> float:
            thread.join(LIMIT_S)
            return known[0]

        return end


def run(bench: Bench) -> bool:
    """Nothing is judged: all of it depends on the machine."""
    rounds = bench.rounds or ROUNDS
    with clusters_on("embedded", bench.home) as clusters:
        with clusters.cluster("noticing", bench.home / "noticing") as cluster:
            _print_ways(_notice(cluster, rounds, bench.chance("watching")), rounds)
        for number in range(min(rounds, WATCHED_ROUNDS)):
            with clusters.cluster("watchers", bench.home / f"watchers-{number}") as cluster:
                console.print(_watch(cluster))
    return True


def _notice(cluster: Cluster, rounds: int, chance: Random) -> dict[str, Way]:
    api = cluster.api()
    cluster.worker("a")
    ways = {
        "socket": _client(api, Sockets.PASS, holds=True),
        "asking the seldomer": _client(api, Sockets.REFUSE, holds=False),
        f"asking every {EVERY_S:g} s": _every_two_seconds(api),
    }
    for _ in range(rounds):
        task = cluster.hold("a")
        ends = {name: way.notice(task.id) for name, way in ways.items()}
        cluster.watch([task], chance.uniform(*WAIT_S))
        task.release()
        ended = task.await_end()
        for name, end in ends.items():
            ways[name].late_s.append(end() - ended.at)
    return ways


def _client(api: Api, sockets: Sockets, *, holds: bool) -> Way:
    box, beyond = api.behind(sockets, holds=holds)

    def wait(task_id: str) -> None:
        with TrackerClient(beyond.place.url, beyond.place.token) as client:
            client.wait(task_id, LIMIT_S)

    return Way(box, wait)


def _every_two_seconds(api: Api) -> Way:
    box, beyond = api.behind(Sockets.REFUSE, holds=False)

    def wait(task_id: str) -> None:
        headers = {"Authorization": f"Bearer {beyond.place.token}"}
        with httpx2.Client(base_url=beyond.place.url, headers=headers, trust_env=False) as client:
            while not client.get(f"/tasks/{task_id}").json()["ready"]:
                time.sleep(EVERY_S)  # what is compared with

    return Way(box, wait)


def _print_ways(ways: dict[str, Way], rounds: int) -> None:
    table = Table("waiting", "end noticed after, median", "at most", "requests a task, median", "at most", box=None)
    for name, way in ways.items():
        late_ms = [1000 * late for late in way.late_s]
        table.add_row(
            name,
            f"{statistics.median(late_ms):.0f} ms",
            f"{max(late_ms):.0f} ms",
            f"{statistics.median(way.requests):g}",
            f"{max(way.requests)}",
        )
    console.print(table)
    console.print(f"{rounds} tasks of {WAIT_S[0]:g} to {WAIT_S[1]:g} s, waited for in all ways at the same time")


def _watch(cluster: Cluster) -> str:
    """Many sockets on one task: what they add to the API's memory, and how far apart they are told of its end."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.hold("a")
    before = _memory(api)
    readers = [api.follow(task) for _ in range(WATCHERS)]
    for reader in readers:
        api.await_heard(reader, lambda reader: reader.heard)
    during = _memory(api)
    task.release()
    ended = task.await_end()
    for reader in readers:
        api.await_heard(reader, lambda reader: reader.closed)
    told = sorted(reader.heard[-1].at - ended.at for reader in readers)
    return (
        f"{WATCHERS} watchers: {(during - before) / WATCHERS / 1024:.0f} KiB of memory each ({before >> 20} to "
        f"{during >> 20} MiB); the first told {1000 * told[0]:.0f} ms, the last {1000 * told[-1]:.0f} ms after the end"
    )


def _memory(api: Api) -> int:
    return sum(psutil.Process(member.pid).memory_info().rss for member in api.process.members())
