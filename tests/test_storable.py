"""Any Python value becomes a readable, bounded form that Postgres JSONB accepts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from harness._servers import Servers, postgres_url
from reference_impl.storable import DEPTH_MAX, MASK, readable, storable

LIMIT = 8192


@dataclass
class Parcel:
    """A dataclass with a value that needs a form of its own."""

    label: str
    weight: Decimal


class Colour(Enum):
    """An enumeration."""

    RED = "red"


class Unspeakable:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Bottomless(dict[str, int]):
    """A mapping whose items cannot be read."""

    def items(self) -> Any:
        """Raise."""
        raise OSError("gone")


@pytest.fixture
def connection(servers: Servers) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the real Postgres."""
    with psycopg.connect(postgres_url(servers.postgres), autocommit=True) as opened:
        yield opened


def stored(value: object, *, limit_bytes: int = LIMIT, masked: tuple[str, ...] = ()) -> Any:
    """The form of a value under an ordinary limit."""
    return storable(value, limit_bytes=limit_bytes, masked_names=masked)


def encoded(form: object) -> bytes:
    """A form as strict JSON in UTF-8. Raises ValueError where it is neither."""
    return json.dumps(form, ensure_ascii=False, allow_nan=False).encode()


def through_postgres(connection: psycopg.Connection[Any], form: object) -> Any:
    """What Postgres gives back of a form."""
    row = connection.execute("SELECT %s::jsonb", [Jsonb(form)]).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (2.5, 2.5),
        ("plain", "plain"),
        ("Grüße, 世界 🎉", "Grüße, 世界 🎉"),
        ((1, (2, 3)), [1, [2, 3]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1: "one", None: "none"}, {"1": "one", "None": "none"}),
        ({(1, 2): "pair"}, {"(1, 2)": "pair"}),
        (b"bytes", "bytes"),
        (bytearray(b"\xff\x00"), "\\xff\\x00"),
        (memoryview(b"view"), "view"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(hours=1), "1:00:00"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (Colour.RED, "red"),
        (Parcel("books", Decimal("2.5")), {"label": "books", "weight": "2.5"}),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        ("nul\0inside", "nul\\x00inside"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ({"nul\0key": 1, "\udfff": 2}, {"nul\\x00key": 1, "\\udfff": 2}),
        (1 << 5000, "<integer of 5001 bits>"),
        (Unspeakable(), "<unreadable Unspeakable: RuntimeError>"),
        ([1, Unspeakable()], [1, "<unreadable Unspeakable: RuntimeError>"]),
        (Bottomless(a=1), "<unreadable Bottomless: OSError>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_class_of_value_has_a_readable_form(connection: psycopg.Connection[Any], value: object, form: Any) -> None:
    """Every class of value has one readable form, and Postgres gives that form back."""
    found = stored(value)

    assert found == form
    assert through_postgres(connection, found) == form


def test_an_open_file_is_named(tmp_path: Path) -> None:
    """An open file is stored as its repr, which names the file."""
    path = tmp_path / "letter.txt"
    with path.open("w") as file:
        form = stored([file])

    assert str(path) in form[0]


def test_a_circular_value_ends(connection: psycopg.Connection[Any]) -> None:
    """A value that contains itself is stored up to the circle."""
    value: list[Any] = [1]
    value.append({"again": value})

    form = stored(value)

    assert through_postgres(connection, form) == [1, {"again": "<circular list>"}]


def test_the_same_value_twice_is_no_circle() -> None:
    """Two references to one value, side by side, are both stored."""
    shared = [1]

    assert stored([shared, shared]) == [[1], [1]]


def test_a_very_deep_value_ends(connection: psycopg.Connection[Any]) -> None:
    """A value nested ten thousand deep is stored down to a stated depth."""
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]

    form = stored(value)

    assert f"<list nested deeper than {DEPTH_MAX}>" in json.dumps(through_postgres(connection, form))


def test_masked_names_hide_their_values_at_every_depth() -> None:
    """A value under a masked name is stored as a mask, whatever the case of the name and however deep it lies."""
    form = stored(
        {"user": "ann", "Password": "hush", "inner": [{"token": {"a": "hush"}}]}, masked=("password", "TOKEN")
    )

    assert form == {"user": "ann", "Password": MASK, "inner": [{"token": MASK}]}


def test_masked_names_hide_the_fields_of_a_dataclass() -> None:
    """A dataclass's field of a masked name is masked like a dictionary's key."""
    assert stored(Parcel("hush", Decimal(1)), masked=("label",)) == {"label": MASK, "weight": "1"}


def test_a_truncated_form_does_not_show_what_is_masked() -> None:
    """The preview of a form that is too large is made after masking."""
    form = stored({"password": "hush", "filler": "x" * 20_000}, masked=("password",))

    assert form["truncated"] is True
    assert "hush" not in form["preview"]


@pytest.mark.parametrize(
    ("value", "original_bytes"),
    [
        ("x" * 1_000_000, 1_000_002),
        ("ü" * 100_000, 200_002),
        (["y" * 1000] * 1000, 1_004_000),
        ({"k" * 50_000: 1}, 50_007),
        (list(range(9_000)), 52_890),
    ],
    ids=["string", "two-byte characters", "list of strings", "key", "list of numbers"],
)
def test_a_huge_value_is_bounded_and_marked(
    connection: psycopg.Connection[Any], value: object, original_bytes: int
) -> None:
    """A form over the limit becomes a marker that tells the original size and shows the beginning."""
    form = stored(value)

    assert len(encoded(form)) <= LIMIT
    assert form["truncated"] is True
    assert form["original_bytes"] == pytest.approx(original_bytes, rel=0.01)
    assert len(form["preview"]) > LIMIT // 4
    assert through_postgres(connection, form) == form


def test_a_million_items_are_bounded_and_their_size_is_not_understated_by_much() -> None:
    """A list too long to walk is cut, and the size told is at least two bytes an item."""
    form = stored([0] * 1_000_000)

    assert len(encoded(form)) <= LIMIT
    assert form["truncated"] is True
    assert form["original_bytes"] >= 2_000_000


def test_large_bytes_show_their_beginning_and_size() -> None:
    """Bytes longer than what is shown tell how many there were."""
    form = stored(b"z" * 1000)

    assert form == "z" * 256 + "... (1000 bytes)"


def test_a_form_at_the_limit_is_kept_whole() -> None:
    """The limit itself is allowed; one byte more is not."""
    whole = "x" * (LIMIT - 2)

    assert stored(whole) == whole
    assert stored(whole + "x")["truncated"] is True


def test_a_message_becomes_one_text_that_postgres_accepts(connection: psycopg.Connection[Any]) -> None:
    """A message with NUL, lone surrogates and any length is made storable, and tells how long it was."""
    text = readable("a\0\ud800" + "b" * 5000)

    row = connection.execute("SELECT %s::text", [text]).fetchone()
    assert row == (text,)
    assert text.endswith("characters)")
    assert len(text) < 2100


def test_a_message_that_cannot_be_made_names_its_type() -> None:
    """An exception whose text raises is told by its type."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    assert readable(Mute()) == "<unprintable Mute: ValueError>"


ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=[]), max_size=60)
ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=1 << 4000, max_value=1 << 4200),
    st.floats(),
    ANY_TEXT,
    st.binary(max_size=400),
    st.datetimes(),
    st.decimals(),
    st.uuids(),
    st.timedeltas(),
    st.sampled_from([Colour.RED, Unspeakable, object(), 3j, range(3)]),
    st.builds(Unspeakable),
    st.builds(Parcel, ANY_TEXT, st.decimals()),
)
HASHABLE = st.one_of(st.none(), st.integers(), st.floats(), ANY_TEXT, st.binary(max_size=8), st.uuids())
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=5),
        st.frozensets(HASHABLE, max_size=5),
        st.builds(lambda text, count: text * count, ANY_TEXT, st.integers(min_value=1, max_value=2000)),
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES, limit_bytes=st.integers(min_value=256, max_value=4096))
def test_whatever_the_value_its_form_is_bounded_and_postgres_takes_it(
    connection: psycopg.Connection[Any], value: object, limit_bytes: int
) -> None:
    """Every value's form is strict JSON, encodes to UTF-8, stays within the limit, and passes through JSONB."""
    form = stored(value, limit_bytes=limit_bytes)

    assert len(encoded(form)) <= limit_bytes
    assert type(through_postgres(connection, form)) in {type(form), int, float}
