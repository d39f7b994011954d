"""What is left of long arguments is measured in characters, and the limit is in bytes."""

import json

from reference_impl import storable


def quoted_prefix(text: str, room: int) -> str:
    prefix = text[:room]
    while prefix and len(json.dumps(prefix, ensure_ascii=False)) > room:
        prefix = prefix[: len(prefix) * 3 // 4]
    return prefix


def apply() -> None:
    storable._quoted_prefix = quoted_prefix
