"""Secrets in text that was never meant to be data: messages and tracebacks of whatever a task ran into."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from typing import Any

from reference_impl.storable import MASK

_IN_URL = re.compile(r"(://[^/\s:@]*:)[^@\s/]+(?=@)")
_SCHEME = re.compile(r"\b(bearer|basic)(\s+)[\w.~+/=-]{6,}", re.IGNORECASE)


def masked(text: str, names: Collection[str]) -> str:
    """The text with what stands for a secret masked: in URLs, after `Bearer`, and after a name such as `password=`."""
    text = _SCHEME.sub(rf"\1\2{MASK}", _IN_URL.sub(rf"\1{MASK}", text))
    return _named(frozenset(names)).sub(rf"\1{MASK}", text) if names else text


def masked_throughout(form: Any, names: Collection[str]) -> Any:
    """The same in every text of a stored form; what stands under such a name has been masked when it was stored."""
    match form:
        case str():
            return masked(form, names)
        case list():
            return [masked_throughout(item, names) for item in form]
        case dict():
            return {key: masked_throughout(item, names) for key, item in form.items()}
        case _:
            return form


@functools.lru_cache(maxsize=8)
def _named(names: frozenset[str]) -> re.Pattern[str]:
    words = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    value = r""""[^"\n]*"|'[^'\n]*'|[^\s,;&"'(){}\[\]]+"""
    return re.compile(rf"""(\b[\w-]*(?:{words})[\w-]*["']?\s*[:=]\s*)(?:{value})""", re.IGNORECASE)
