"""STALE-02: whatever the arguments are, a record exists, moves on, and shows them; the task is untouched."""

import os
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from harness import Cluster, Task, arguments_delivered, arguments_stored, outcome_unharmed

PICKLE = {"CELERY_CONFORMANCE_ACCEPT": "pickle", "C_FORCE_ROOT": "1"}
TEXT = st.text(st.characters(codec=None), max_size=12) | st.sampled_from(["a\0b", "\ud800", "x\udfff\0", "'\"\\"])
NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**70), 2**70)
TYPED = st.uuids() | st.datetimes(timezones=st.just(UTC)) | st.decimals(allow_nan=False, allow_infinity=False)
PORTABLE = st.none() | st.booleans() | NUMBERS | TEXT | TYPED
PYTHON = st.binary(max_size=12) | st.sets(st.integers(0, 9), max_size=4) | st.complex_numbers() | st.dates()


def nested(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists and dictionaries of leaves."""
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
    )


VALUES = {
    "json": nested(PORTABLE, TEXT),
    "pickle": nested(PORTABLE | PYTHON, TEXT | st.integers() | st.tuples(st.integers(), TEXT)),
}


def circular() -> list[Any]:
    """A list that contains itself."""
    value: list[Any] = [1]
    value.append(value)
    return value


def deep(levels: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def legible(value: Any) -> list[str]:
    """What of a generated value has only one plain form, in which it must be found again."""
    match value:
        case bool():
            return []
        case int() | uuid.UUID():
            return [str(value)]
        case datetime():
            return [value.date().isoformat()]
        case date():
            return [value.isoformat()]
        case list() | tuple() | set():
            return [word for item in value for word in legible(item)]
        case dict() if all(isinstance(key, str) for key in value):  # as text, 1 and "1" would be one key
            return [word for item in value.values() for word in legible(item)]
        case _:
            return []


NAMED: dict[str, tuple[Any, list[str]]] = {
    "set": ({1, 2}, ["[1, 2]"]),
    "bytes": (b"abc\xff", ["abc"]),
    "datetime": (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), ["2026-03-29T01:30:00"]),
    "date": (date(2026, 3, 29), ["2026-03-29"]),
    "timedelta": (timedelta(days=2), ["2 days"]),
    "decimal": (Decimal("1.10"), ["1.10"]),
    "uuid": (uuid.UUID(int=5), [str(uuid.UUID(int=5))]),
    "not finite": ([float("nan"), float("inf"), -float("inf")], ["nan", "inf", "-inf"]),
    "NUL": ("before\0after", ["before", "after"]),
    "lone surrogate": ("before\ud800after", ["before", "after"]),
    "keys": ({1: "one", (2, 3): "pair", None: "none"}, ["one", "pair", "none"]),
    "circular": (circular(), ["circular"]),
    "150 levels": (deep(150), []),
}


@pytest.mark.promise("STALE-02")
@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_generated_arguments(cluster: Cluster, harness_seed: int, serializer: str) -> None:
    """Hypothesis chooses arguments that the serializer takes; a word among them is to be read in what is stored."""
    cluster.worker("a", environment=PICKLE if serializer == "pickle" else {})
    words: dict[str, list[str]] = {}
    delivered: dict[str, str] = {}
    tasks: list[Task] = []

    @seed(harness_seed)
    @settings(
        max_examples=30, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(VALUES[serializer], TEXT, TEXT)
    def publish(value: Any, before: str, after: str) -> None:
        word = f"legible{len(tasks)}"
        argument = {"value": value, "text": f"{before}{word}{after}"}
        task = cluster.publish("take", argument, queue="a", options={"serializer": serializer})
        words[task.id] = [word, *legible(value)]
        delivered[task.id] = cluster.describe([argument], {}, serializer)
        tasks.append(task)

    publish()
    for task in tasks:
        cluster.await_end(task)

    cluster.judge(arguments_stored(words), arguments_delivered(delivered))


@pytest.mark.promise("STALE-02")
def test_each_named_kind(cluster: Cluster) -> None:
    """Every kind of value that the promise names, by keyword and by position, is stored readably."""
    cluster.worker("a", environment=PICKLE)
    words: dict[str, list[str]] = {}
    delivered: dict[str, str] = {}
    tasks = []
    for name, (value, expected) in NAMED.items():
        task = cluster.publish("take", value, queue="a", options={"serializer": "pickle"}, named=name)
        words[task.id] = [*expected, name]
        delivered[task.id] = cluster.describe([value], {"named": name}, "pickle")
        tasks.append(task)
    for make, shown in {"parcel": "fragile", "unspeakable": "Unspeakable"}.items():
        task = cluster.publish("take", queue="a", options={"serializer": "pickle"}, make=make)
        words[task.id] = [shown]
        delivered[task.id] = cluster.describe([], {}, "pickle", make=make)
        tasks.append(task)
    for task in tasks:
        cluster.await_end(task)

    last = tasks[-1]
    cluster.result(last)
    cluster.judge(
        arguments_stored(words), arguments_delivered(delivered), outcome_unharmed({last.id: ("SUCCESS", None)})
    )


@pytest.mark.promise("STALE-02")
@pytest.mark.requires("eager")
def test_what_no_message_carries(cluster: Cluster) -> None:
    """An open file and a list in 5000 lists, run eagerly: the file can be told, and the depth is said to be cut."""
    file, deep_list = (cluster.run_eagerly("take", make=make) for make in ("open file", "deep"))
    for task in (file, deep_list):
        cluster.await_record(task, {"SUCCESS"})
    with Path(os.devnull).open() as same:
        # The workload describes the upper levels only, in which 5000 levels and 150 are the same.
        delivered = {file.id: f"[[{same!a}], {{}}]", deep_list.id: cluster.describe([deep(150)], {}, "pickle")}

    cluster.judge(
        arguments_stored({file.id: [os.devnull], deep_list.id: ["deep"]}),
        arguments_delivered(delivered),
    )
