"""Somebody else who uses a Redis server meanwhile, and what the server tells of how long its commands took."""

from __future__ import annotations

import threading
import time
from typing import Any, Self, cast

import redis

_PACE_S = 0.002


class Bystander:
    """Asks for a sign of life again and again; `longest_s` is how long it had to wait at most, `asked` how often."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="bystander", daemon=True)
        self.longest_s = 0.0
        self.asked = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()

    def _ask(self) -> None:
        while not self._over.wait(_PACE_S):
            began = time.monotonic()
            self._client.ping()
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            self.asked += 1


def slowest_ms(client: redis.Redis) -> dict[str, float]:
    """For each kind of command, a bound that all of that kind have kept since the statistics were reset."""
    told = cast("Any", client).execute_command("LATENCY", "HISTOGRAM")
    pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=True)
    slowest = {}
    for name, histogram in pairs:
        fields = histogram if isinstance(histogram, dict) else dict(zip(histogram[::2], histogram[1::2], strict=True))
        buckets: Any = fields.get("histogram_usec", fields.get(b"histogram_usec"))
        bounds = list(buckets) if isinstance(buckets, dict) else buckets[::2]
        slowest[name if isinstance(name, str) else name.decode()] = max(int(bound) for bound in bounds) / 1000
    return slowest
