"""What a task returned, as JSON: the whole of it where JSON can hold it, and what it cannot hold named by type.

Sets and tuples become lists, dataclasses objects, bytes base64, moments ISO 8601; numbers that JSON lacks become
the words NaN, Infinity, -Infinity. Nothing is shortened and nothing is masked: whoever may ask for a result gets
what the task returned.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from reference_impl.storable import readable

DEPTH_MAX = 64
LEFT_OUT_MAX = 100
_INTEGER_BITS_MAX = 14_000  # Python itself refuses to print many more digits


@dataclasses.dataclass(frozen=True)
class Form:
    """A value in JSON's own types; `left_out` names each part that none of them can hold, as `place: type`."""

    value: Any
    left_out: tuple[str, ...]
    weight: int
    """About how many bytes its text takes, never many more than it really does."""

    @property
    def is_nothing(self) -> bool:
        """Whether the value as a whole is such a part."""
        return bool(self.left_out) and self.left_out[0].startswith("result: ")


@dataclasses.dataclass(frozen=True)
class Text:
    """The JSON text of a form: in memory, or in a file where it is over the limit."""

    size_bytes: int
    sha256: str
    body: bytes | None


def form_of(value: object) -> Form:
    """Never raises: a part whose own methods raise is left out."""
    walk = _Walk()
    form = walk.form(value)
    return Form(form, tuple(walk.left_out), walk.weight)


class Writable(Protocol):
    """All that is needed of a file."""

    def write(self, piece: bytes, /) -> int:
        """Take all of it."""


def write_text(form: Form, limit_bytes: int, file: Writable) -> Text:
    """Encode it; a text over the limit goes into `file`, piece by piece, and is never whole in memory.

    Raises OSError when the file cannot be written.
    """
    if form.weight <= limit_bytes:
        text = _ENCODER.encode(form.value).encode("utf-8", "backslashreplace")
        if len(text) <= limit_bytes:
            return Text(len(text), hashlib.sha256(text).hexdigest(), text)
    size, digest = 0, hashlib.sha256()
    for piece in _pieces(form.value):
        file.write(piece)
        digest.update(piece)
        size += len(piece)
    return Text(size, digest.hexdigest(), None)


def read_pieces(path: Path, piece_bytes: int) -> Iterator[bytes]:
    """A file's contents in order, each piece of this size but the last."""
    with path.open("rb") as file:
        while piece := file.read(piece_bytes):
            yield piece


# Lone surrogates, which UTF-8 has no bytes for, are left as the escapes that JSON has for them.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_PIECE_BYTES = 65_536


def _pieces(value: Any) -> Iterator[bytes]:
    """The text in pieces of about this size, long strings cut up, too: the library encodes each as a whole."""
    gathered, size = [], 0
    for part in _parts(value):
        gathered.append(part)
        size += len(part)
        if size >= _PIECE_BYTES:
            yield "".join(gathered).encode("utf-8", "backslashreplace")
            gathered, size = [], 0
    yield "".join(gathered).encode("utf-8", "backslashreplace")


def _parts(value: Any) -> Iterator[str]:
    match value:
        case str() if len(value) > _PIECE_BYTES:
            yield '"'
            for begin in range(0, len(value), _PIECE_BYTES):
                yield _ENCODER.encode(value[begin : begin + _PIECE_BYTES])[1:-1]
            yield '"'
        case dict():
            yield "{"
            for number, (key, item) in enumerate(value.items()):
                yield f"{',' if number else ''}{_ENCODER.encode(key)}:"
                yield from _parts(item)
            yield "}"
        case list():
            yield "["
            for number, item in enumerate(value):
                yield "," if number else ""
                yield from _parts(item)
            yield "]"
        case _:
            yield _ENCODER.encode(value)


class _Walk:
    def __init__(self) -> None:
        self.left_out: list[str] = []
        self.weight = 0
        self._above: set[int] = set()
        self._path: list[str | int] = []

    def form(self, value: object) -> Any:
        self.weight += 2
        match value:
            case None | bool():
                return value
            case Enum():
                return self.form(value.value)
            case int():
                return int(value) if value.bit_length() <= _INTEGER_BITS_MAX else self._leave_out(value)
            case float():
                return float(value) if math.isfinite(value) else _NOT_FINITE[repr(float(value))]
            case str():
                self.weight += len(value)
                return str(value)
            case bytes() | bytearray() | memoryview():
                text = base64.b64encode(bytes(value)).decode()
                self.weight += len(text)
                return text
            case datetime() | date() | time():
                return value.isoformat()
            case timedelta() | Decimal() | UUID():
                return str(value)
            case _:
                return self._nested(value)

    def _nested(self, value: object) -> Any:
        if id(value) in self._above:
            return self._leave_out(value, "circular ")
        if len(self._above) >= DEPTH_MAX:
            return self._leave_out(value, "too deep ")
        depth = len(self._path)
        self._above.add(id(value))
        try:
            return self._container(value)
        except Exception:  # noqa: BLE001 - a part whose own methods raise must not cost the rest
            del self._path[depth:]
            return self._leave_out(value)
        finally:
            self._above.discard(id(value))

    def _container(self, value: object) -> Any:
        if isinstance(value, Mapping):
            return {_key(key): self._part(_key(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._part(number, item) for number, item in enumerate(value)]
        if isinstance(value, set | frozenset):
            forms = [self._part(number, item) for number, item in enumerate(value)]
            return sorted(forms, key=lambda form: (type(form).__name__, str(form)))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {
                field.name: self._part(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)
            }
        return self._leave_out(value)

    def _part(self, name: str | int, value: object) -> Any:
        self._path.append(name)
        form = self.form(value)
        self._path.pop()
        return form

    def _leave_out(self, value: object, why: str = "") -> str:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self._path)
        if len(self.left_out) < LEFT_OUT_MAX:
            self.left_out.append(readable(f"result{place}: {why}{kind}", limit=300))
        return f"<{why}{kind}>"


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _key(key: object) -> str:
    match key:
        case str():
            return str(key)
        case None:
            return "null"
        case bool():
            return "true" if key else "false"
        case _:
            return readable(key, limit=200)
