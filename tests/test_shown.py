"""How a task is shown to somebody who runs the system, whatever its record or its result says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.lifecycle import Status
from reference_impl.shown import (
    DESCRIPTION_CHARS_MAX,
    ERROR_CHARS_MAX,
    Word,
    description_of,
    error_in,
    error_line,
    is_state,
    moment_of,
    name_of,
    statuses_of,
    word_of,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1, in b\n    c()\n'


def test_each_status_has_a_word_and_each_word_a_status() -> None:
    """So a filter by word leaves nothing out."""
    assert {word_of(status) for status in Status} == set(Word)
    assert sorted(status for word in Word for status in statuses_of([word])) == sorted(Status)


@pytest.mark.parametrize(
    ("task_name", "name"),
    [
        ("shop.tasks.send_invoice", "Send invoice"),
        ("send-invoice", "Send invoice"),
        ("shop.SendInvoice", "Send invoice"),
        ("shop.CSV_export", "CSV export"),
        ("tasks.", "Tasks"),
        ("...", "..."),
        ("", None),
        (None, None),
    ],
)
def test_names_in_words(task_name: str | None, name: str | None) -> None:
    """The last part of a dotted path."""
    assert name_of(task_name) == name


@given(st.text(), ANYTHING, ANYTHING)
def test_a_description_is_one_short_line(task_name: str, args: Any, kwargs: Any) -> None:
    """Whatever the stored form of the arguments is."""
    said = description_of(task_name, args, kwargs)

    assert len(said) <= DESCRIPTION_CHARS_MAX
    assert "\n" not in said


def test_a_description_has_the_arguments() -> None:
    """As they are stored; what was cut is dots."""
    assert description_of("shop.sell", ["tea", 2], {"urgent": True}) == "Sell (tea, 2, urgent=true)"
    assert description_of("shop.sell", {"truncated": True, "preview": "x"}, {}) == "Sell (...)"
    assert description_of(None, None, None) == "A task whose name is not known ()"


@pytest.mark.parametrize(
    ("kind", "said", "line"),
    [
        ("KeyError", "'a'", "KeyError: 'a'"),
        ("KeyError", None, "KeyError"),
        ("KeyError", "KeyError: 'a'", "KeyError: 'a'"),
        (None, "\n\n first \n second", "first"),
        (None, f"{TRACEBACK}ValueError: out of range\n", "ValueError: out of range"),
        (None, f"{TRACEBACK}KeyError: 1\n\nDuring handling\n\n{TRACEBACK}ValueError: 2\n", "ValueError: 2"),
        (None, TRACEBACK, "c()"),
        (None, f"{TRACEBACK}ValidationError: 1 problem\nname\n  missing\n", "ValidationError: 1 problem"),
        (None, "token=abcdef", "token=***"),
        (None, "", None),
        (None, None, None),
    ],
)
def test_the_line_that_tells_most(kind: str | None, said: str | None, line: str | None) -> None:
    """Of a traceback its end, of other text its beginning."""
    assert error_line(kind, said, {"token"}) == line


@given(st.none() | st.text(), st.none() | st.text())
def test_an_error_is_one_bounded_line(kind: str | None, said: str | None) -> None:
    """Whatever was said."""
    line = error_line(kind, said, {"token"})

    assert line is None or 0 < len(line) <= ERROR_CHARS_MAX


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"exc_type": "E", "exc_message": ["a", 1], "exc_module": "m"}, ("E", "a, 1")),
        ({"exc_type": "E", "exc_message": "a"}, ("E", "a")),
        ({"error": "no"}, (None, "no")),
        ({"code": 1}, (None, '{"code": 1}')),
        ("text", (None, "text")),
        (None, (None, None)),
        (17, (None, "17")),
        (ValueError("a"), ("ValueError", "a")),
    ],
)
def test_errors_in_what_is_stored(result: object, error: tuple[str | None, str | None]) -> None:
    """As Celery stores exceptions, and as others store what they like."""
    assert error_in(result) == error


@given(ANYTHING)
def test_anything_may_be_stored(value: Any) -> None:
    """Nothing of it raises."""
    moment = moment_of(value)

    assert moment is None or moment.tzinfo is UTC
    assert isinstance(is_state(value), bool)
    assert len(error_in(value)) == 2


@pytest.mark.parametrize(
    ("value", "hour"),
    [
        ("2026-05-04T12:00:00Z", 12),
        ("2026-05-04T12:00:00", 12),
        ("2026-05-04T12:00:00+02:00", 10),
        (" 2026-05-04T12:00:00.5-07:00", 19),
        (datetime(2026, 5, 4, 12), 12),  # noqa: DTZ001 - that is the point
        (1777896000, 12),
        (1777896000.25, 12),
    ],
)
def test_moments_of_every_kind(value: object, hour: int) -> None:
    """A stamp without a zone is in UTC."""
    moment = moment_of(value)

    assert moment is not None
    assert (moment.date().isoformat(), moment.hour) == ("2026-05-04", hour)


@pytest.mark.parametrize("value", [None, True, "", "yesterday", "2026-13-01", float("nan"), 1e300, [], {}])
def test_what_is_no_moment(value: object) -> None:
    """Is none."""
    assert moment_of(value) is None


@pytest.mark.parametrize("state", ["PENDING", "PROGRESS", "STEP_2", "MY-STATE"])
def test_states_may_be_made_up(state: str) -> None:
    """As tasks do."""
    assert is_state(state)


@pytest.mark.parametrize("state", ["", "success", "NO STATE", "X" * 65, 17, None, [], "A\n"])
def test_nonsense_is_no_state(state: object) -> None:
    """Whatever it is."""
    assert not is_state(state)
