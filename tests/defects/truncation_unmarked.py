"""Arguments that are too long are cut, and nothing says so."""

import json
from typing import Any

from reference_impl import signals
from reference_impl.storable import storable


def stored(value: object, *, limit_bytes: int, **rest: Any) -> Any:
    form = storable(value, limit_bytes=limit_bytes, **rest)
    return json.dumps(form)[: limit_bytes // 2] if isinstance(form, dict) and form.get("truncated") else form


def apply() -> None:
    signals.storable = stored
