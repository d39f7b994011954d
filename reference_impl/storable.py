"""Any Python value in a readable, bounded form that Postgres JSONB accepts.

What `json.dumps` accepts is not enough: JSONB refuses NUL characters and lone surrogates, and NaN and the
infinities are not JSON at all. Tuples, sets and frozensets become lists, as Celery's JSON serializer makes
lists of tuples; other values become strings. A form over the limit becomes
`{"truncated": true, "original_bytes": N, "preview": "..."}`.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Collection, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

MASK = "***"
DEPTH_MAX = 32
ID_CHARS_MAX = 255
ITEMS_MAX = 10_000
_BYTES_SHOWN = 256


def storable(value: object, *, limit_bytes: int, masked_names: Collection[str] = ()) -> Any:
    """`value` as JSONB takes it, at most `limit_bytes` long. Never raises."""
    walk = _Walk(masked_names, limit_bytes)
    form = walk.nested_form(value)
    text = json.dumps(form, ensure_ascii=False)
    size = len(text.encode()) + walk.bytes_left_out
    if size <= limit_bytes:
        return form
    marker = {"truncated": True, "original_bytes": size, "preview": ""}
    room = max(0, limit_bytes - len(json.dumps(marker).encode()) - 8)
    marker["preview"] = _quoted_prefix(text, room)
    return marker


def readable(text: object, *, limit: int = 2000) -> str:
    """One line of text that Postgres accepts, for messages and names. Never raises."""
    try:
        plain = str(text)
    except Exception as error:  # noqa: BLE001 - a message that cannot be made must not cost the record
        plain = f"<unprintable {type(text).__name__}: {type(error).__name__}>"
    plain = _clean(plain)
    return plain if len(plain) <= limit else f"{plain[:limit]}... ({len(plain)} characters)"


def is_task_id(text: object) -> bool:
    """Whether it can be the id of a record: what comes from elsewhere may be anything."""
    return isinstance(text, str) and 0 < len(text) <= ID_CHARS_MAX and "\0" not in text and _clean(text) == text


def plain(form: Any, depth: int = 0) -> Any:
    """A value of JSON's types, however large, as JSONB takes it: without NUL, lone surrogates and infinities.

    What is nested deeper than `DEPTH_MAX` stands there as text. Raises RecursionError where not even that can be made.
    """
    match form:
        case str():
            return _clean(form)
        case float():
            return form if math.isfinite(form) else repr(form)
        case list() | dict() if depth >= DEPTH_MAX:
            return _clean(json.dumps(form, ensure_ascii=False))
        case list():
            return [plain(item, depth + 1) for item in form]
        case dict():
            return {_clean(name): plain(item, depth + 1) for name, item in form.items()}
        case _:
            return form


class _Walk:
    def __init__(self, masked_names: Collection[str], text_limit: int) -> None:
        self._text_limit = text_limit
        self._masked = {name.lower() for name in masked_names}
        self._above: set[int] = set()
        self._items = 0
        self.bytes_left_out = 0

    def nested_form(self, value: object) -> Any:
        """The form of the whole value; a hostile value is stored by its type."""
        try:
            return self.form(value, 0)
        except Exception as error:  # noqa: BLE001 - a value that cannot be read must not cost the record
            return _unreadable(value, error)

    def form(self, value: object, depth: int) -> Any:
        self._items += 1
        match value:
            case Enum():
                return self.form(value.value, depth + 1)
            case None | bool():
                return value
            case int():
                return self._integer(value)
            case float():
                return float(value) if math.isfinite(value) else repr(float(value))
            case str():
                return self._text(value)
            case bytes() | bytearray() | memoryview():
                return self._bytes(bytes(value))
            case datetime() | date() | time():
                return value.isoformat()
            case timedelta() | Decimal() | UUID():
                return str(value)
            case _:
                return self._nested(value, depth)

    def _integer(self, value: int) -> int | str:
        # numeric holds 131072 digits before the point; int-to-str conversion is bounded well below that.
        return int(value) if value.bit_length() <= 4096 else f"<integer of {value.bit_length()} bits>"

    def _text(self, value: str) -> str:
        if len(value) <= self._text_limit:
            return _clean(value)
        self.bytes_left_out += _encoded_length(value, self._text_limit)
        return _clean(value[: self._text_limit])

    def _bytes(self, value: bytes) -> str:
        shown = _clean(value[:_BYTES_SHOWN].decode("utf-8", "backslashreplace"))
        if len(value) <= _BYTES_SHOWN:
            return shown
        self.bytes_left_out += len(value) - _BYTES_SHOWN
        return f"{shown}... ({len(value)} bytes)"

    def _nested(self, value: object, depth: int) -> Any:
        if id(value) in self._above:
            return f"<circular {type(value).__name__}>"
        if depth >= DEPTH_MAX:
            return f"<{type(value).__name__} nested deeper than {DEPTH_MAX}>"
        self._above.add(id(value))
        try:
            return self._container(value, depth + 1)
        except Exception as error:  # noqa: BLE001 - values with hostile methods are stored by their type
            return _unreadable(value, error)
        finally:
            self._above.discard(id(value))

    def _container(self, value: object, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple):
            return self._items_of(value, depth)
        if isinstance(value, set | frozenset):
            forms = self._items_of(value, depth)
            return sorted(forms, key=lambda form: (type(form).__name__, str(form)))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return self._mapping(fields, depth)
        return readable(repr(value))

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        form = {}
        room = max(0, ITEMS_MAX - self._items)
        self.bytes_left_out += 5 * max(0, len(value) - room)
        for key, item in itertools.islice(value.items(), room):
            name = key if isinstance(key, str) else readable(key, limit=200)
            masked = name.lower() in self._masked
            form[_clean(name)] = MASK if masked else self.form(item, depth)
        return form

    def _items_of(self, value: Collection[object], depth: int) -> list[Any]:
        room = max(0, ITEMS_MAX - self._items)
        # The shortest item in JSON is a digit and its comma, so the original size is at least this.
        self.bytes_left_out += 2 * max(0, len(value) - room)
        return [self.form(item, depth) for item in itertools.islice(value, room)]


def _unreadable(value: object, error: Exception) -> str:
    return f"<unreadable {type(value).__name__}: {type(error).__name__}>"


def _encoded_length(text: str, begin: int) -> int:
    """How many bytes the text takes from there on, without a copy of all of it."""
    if text.isascii():
        return len(text) - begin
    step = 65_536
    return sum(len(text[at : at + step].encode("utf-8", "surrogatepass")) for at in range(begin, len(text), step))


def _clean(text: str) -> str:
    if text.isascii() and "\0" not in text:
        return str(text)
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def _quoted_prefix(text: str, room: int) -> str:
    """The longest start of `text` whose JSON string takes at most `room` bytes."""
    prefix = text[:room]
    while prefix and len(json.dumps(prefix, ensure_ascii=False).encode()) > room:
        prefix = prefix[: len(prefix) * 3 // 4]
    return prefix
