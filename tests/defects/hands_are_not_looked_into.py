"""What a worker has received counts for nothing: neither its memory nor what it has to acknowledge is looked into."""

from types import SimpleNamespace
from typing import Any

import redis

from reference_impl import deliveries, rollcall


class Blind(redis.Redis):
    def hvals(self, _name: str) -> Any:
        return []


def apply() -> None:
    deliveries.redis = SimpleNamespace(Redis=Blind)
    said = rollcall._said
    rollcall._said = lambda incarnation_id, *_, **_others: said(incarnation_id)
