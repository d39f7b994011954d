"""What a task returned, as JSON: nothing shortened, nothing masked, and what cannot be held named by type."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.returned import DEPTH_MAX, form_of, write_text

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Colour(Enum):
    """Anything enumerated."""

    RED = "red"


@dataclasses.dataclass
class Point:
    """Anything with fields."""

    x: int
    y: object


class Hostile(dict[str, int]):
    """A mapping whose items cannot be read."""

    def items(self) -> Any:
        """Raise."""
        raise RuntimeError("not today")


@given(PLAIN, st.sampled_from([0, 16, 1_000_000]))
def test_what_json_holds_comes_back_as_it_was(value: Any, limit: int) -> None:
    """Whatever JSON can hold is its own form, and its text, in one piece or several, reads back equal."""
    form = form_of(value)
    file = io.BytesIO()
    text = write_text(form, limit, file)

    assert form.left_out == ()
    body = file.getvalue() if text.body is None else text.body
    assert json.loads(body) == value
    assert (text.size_bytes, text.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert (text.body is None) == (len(body) > limit)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (b"\x00\xff", "AP8="),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (timedelta(seconds=90), "0:01:30"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Point(1, (2, 3)), {"x": 1, "y": [2, 3]}),
        ({2: "a", None: "b", True: "c", (1, 2): "d"}, {"2": "a", "true": "c", "null": "b", "(1, 2)": "d"}),
        ({"password": "hunter2", "token": "x"}, {"password": "hunter2", "token": "x"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_has_its_form(value: object, form: object) -> None:
    """Types that JSON lacks have a form, the same wherever a result is asked for."""
    assert form_of(value).value == form
    assert form_of(value).left_out == ()


def test_what_cannot_be_held_is_named_where_it_was() -> None:
    """A lock deep inside, a mapping that cannot be read, a cycle: each is named by place and type, the rest is kept."""
    ring: list[object] = [1]
    ring.append(ring)
    form = form_of({"n": 1, "deep": [{"lock": threading.Lock()}], "hostile": Hostile(), "ring": ring})

    assert form.value["n"] == 1
    assert form.value["deep"] == [{"lock": "<_thread.lock>"}]
    assert form.value["ring"][0] == 1
    assert [said.split(": ")[0] for said in form.left_out] == [
        "result.deep[0].lock",
        "result.hostile",
        "result.ring[1]",
    ]
    assert "circular list" in form.left_out[-1]
    assert not form.is_nothing


def test_a_value_that_is_nothing_but_unstorable_says_so() -> None:
    """Of a lock alone nothing is left that could be kept."""
    assert form_of(threading.Lock()).is_nothing
    assert not form_of([threading.Lock()]).is_nothing


def test_depth_is_bounded() -> None:
    """A structure deeper than any decoder goes is cut off, and encodes."""
    deep: list[object] = []
    for _ in range(DEPTH_MAX * 20):
        deep = [deep]
    form = form_of(deep)

    assert any("too deep" in said for said in form.left_out)
    assert write_text(form, 1_000_000, io.BytesIO()).size_bytes > DEPTH_MAX


def test_lone_surrogates_survive_in_pieces_and_in_one() -> None:
    """What UTF-8 has no bytes for is written as JSON's own escape."""
    value = "a\ud800b" * 50_000
    file = io.BytesIO()
    write_text(form_of(value), 0, file)

    assert json.loads(file.getvalue()) == value
