"""Progress: whatever a task says, what is shown makes sense, or is not shown."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.progress import MESSAGE_CHARS_MAX, ProgressError, never_back, report_progress, shown

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
METAS = ANYTHING | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("current", "total", "percent", "message", "at"), ANYTHING)
)


@given(METAS)
def test_whatever_is_said_what_is_shown_makes_sense(meta: Any) -> None:
    """Numbers are finite, none is below 0, current is not above total, percent not above 100, and texts are bounded."""
    form, _ = shown(meta)

    assert set(form) <= {"current", "total", "percent", "message"}
    assert all(
        math.isfinite(form[name]) and form[name] >= 0 for name in ("current", "total", "percent") if name in form
    )
    assert form.get("percent", 0) <= 100
    if "total" in form:
        assert form["total"] > 0
        assert form.get("current", 0) <= form["total"]
    assert len(form.get("message", "")) < MESSAGE_CHARS_MAX + 50


@pytest.mark.parametrize(
    ("meta", "form", "said"),
    [
        ({"current": 3, "total": 12}, {"current": 3, "total": 12, "percent": 25.0}, ""),
        ({"current": 3, "total": 12, "percent": 99}, {"current": 3, "total": 12, "percent": 25.0}, ""),
        ({"current": "3", "total": "12"}, {"current": 3, "total": 12, "percent": 25.0}, "current is the text '3'"),
        ({"current": -1, "total": 4}, {"current": 0, "total": 4, "percent": 0.0}, "current is -1, below 0"),
        ({"current": 9, "total": 4}, {"current": 4, "total": 4, "percent": 100.0}, "over the total"),
        ({"current": 9, "total": 0}, {"current": 9}, "total is 0, and is left out"),
        ({"percent": 150}, {"percent": 100.0}, "percent is 150"),
        ({"current": float("nan"), "total": 4}, {"total": 4}, "current is nan, and is left out"),
        ({"current": [1], "message": 7}, {"message": "7"}, "current is a list"),
        ("half way", {}, "progress is a str"),
        (None, {}, ""),
    ],
)
def test_what_makes_no_sense_is_mended_or_left_out_and_told(meta: Any, form: dict[str, Any], said: str) -> None:
    """Each part that is mended or left out comes with a remark."""
    told, remarks = shown(meta)

    assert told == form
    assert said in "; ".join(remarks)
    assert bool(remarks) == bool(said)


def test_progress_never_goes_back() -> None:
    """Of the same total the furthest counts; another total begins anew."""
    before = {"current": 5, "total": 10, "percent": 50.0}

    assert never_back({"current": 3, "total": 10, "percent": 30.0, "message": "x"}, before) == {
        "current": 5,
        "total": 10,
        "percent": 50.0,
        "message": "x",
    }
    assert never_back({"current": 3, "total": 12, "percent": 25.0}, before)["current"] == 3
    assert never_back({"current": 3}, None) == {"current": 3}


def test_outside_a_task_there_is_nothing_to_report() -> None:
    """The helper says so."""
    with pytest.raises(RuntimeError, match="there is none"):
        report_progress(1, 2)
    assert issubclass(ProgressError, ValueError)
