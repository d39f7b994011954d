"""Only workers are asked for messages, and no queue."""

from types import SimpleNamespace
from typing import Any

import redis

from reference_impl import deliveries


class Blind(redis.Redis):
    def lrange(self, _name: str, _start: int, _end: int) -> Any:
        return []


def apply() -> None:
    deliveries.redis = SimpleNamespace(Redis=Blind)
