"""The page: one file that shows what runs found, and needs nothing beside itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness._errors import UsageError
from harness._history import History, Kind, read_history
from harness._page import write_page
from harness._past_runs import PastRun, read_run, tell_apart

HOSTILE = "<script>alert('x')</script>"


def past_run(directory: Path, *, subject: str = "reference", verdict: str = "fail", **versions: str) -> PastRun:
    """A run of one scenario, with its history, as it lies on disk."""
    inside = directory / "scenarios" / "one"
    inside.mkdir(parents=True)
    history = History(inside / "history.jsonl")
    running = {"pid": 8, "life": "worker-a", "execution": "e1"}
    history.append(Kind.TRUTH, "info", "start", process="a@x", task="0123456789", value=running, at=1.0)
    told = history.append(Kind.OBSERVATION, "info", "record", task="0123456789", value={"status": HOSTILE}, at=2.0)
    violation = {"kind": "false-dead", "message": f"it said {HOSTILE}", "entries": [told.index]}
    finding = {"check": "live-tasks-untouched", "verdict": verdict, "reason": "seen", "violations": [violation]}
    scenario = {
        "id": "scenarios/x.py::test_a_thing[hold]",
        "sentence": "A thing happens.",
        "verdict": verdict,
        "reason": "seen",
        "seconds": 1.5,
        "findings": [finding if verdict == "fail" else {**finding, "violations": []}],
        "directory": "scenarios/one",
        "again": "pytest x.py",
    }
    row = {
        "id": "STALE-05",
        "title": "start-up race",
        "severity": "critical",
        "statement": "No living task is touched.",
        "advice": "Ask for two witnesses.",
        "verdict": verdict,
        "reason": "seen",
        "scenarios": [scenario],
        "seconds": 1.5,
    }
    report: Mapping[str, Any] = {
        "schema": 1,
        "subject": subject,
        "name": subject,
        "runtime": "embedded",
        "broker": "redis",
        "seed": 1,
        "versions": {"celery": "5.7.0", **versions},
        "promises": [row],
        "summary": {verdict: 1},
    }
    (directory / "report.json").write_text(json.dumps(report))
    return read_run(directory)


def page(path: Path, *runs: PastRun) -> str:
    """The page of these runs."""
    return write_page(path / "report.html", runs).read_text()


def test_one_page_tells_all_of_a_broken_promise(tmp_path: Path) -> None:
    """Promise, sentence, verdict, violation, timeline, part of the history, advice and a line to run it again."""
    text = page(tmp_path, past_run(tmp_path / "a"))

    for told in (
        "No living task is touched.",
        "A thing happens.",
        "false-dead",
        'class="timeline"',
        "observation/info record",
        "Ask for two witnesses.",
        "pytest x.py",
    ):
        assert told in text


def test_a_kept_promise_needs_no_advice(tmp_path: Path) -> None:
    """Advice stands beside what is broken only."""
    assert "Ask for two witnesses." not in page(tmp_path, past_run(tmp_path / "a", verdict="pass"))


def test_what_was_not_judged_is_put_away_where_something_is_broken(tmp_path: Path) -> None:
    """The filter shows what is broken first, and what was skipped on demand."""
    broken, skipped = past_run(tmp_path / "a"), past_run(tmp_path / "b", subject="other", verdict="skipped")

    assert 'value="skipped">' in page(tmp_path, broken, skipped)
    assert 'value="skipped" checked>' in page(tmp_path, skipped)


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    """It refers to no other file and no network."""
    text = page(tmp_path, past_run(tmp_path / "a"))

    assert not re.findall(r"""(?:src|href)=["'](?!#)|url\(|@import|https?://""", text)


def test_what_a_subject_says_is_text(tmp_path: Path) -> None:
    """Nothing that a subject says becomes markup."""
    assert HOSTILE not in page(tmp_path, past_run(tmp_path / "a"))


def test_each_cell_of_the_matrix_leads_to_its_evidence(tmp_path: Path) -> None:
    """Every link ends at something on the page."""
    text = page(tmp_path, past_run(tmp_path / "a"), past_run(tmp_path / "b", subject="bare-celery", verdict="pass"))

    links = set(re.findall(r'href="#([^"]+)"', text))

    assert {"STALE-05", "STALE-05-1", "STALE-05-2"} <= links
    assert links <= set(re.findall(r'id="([^"]+)"', text))


def test_a_run_without_its_histories_is_shown_without_timelines(tmp_path: Path) -> None:
    """A report that was copied alone still makes a page."""
    run = past_run(tmp_path / "a")
    (tmp_path / "a" / "scenarios" / "one" / "history.jsonl").unlink()

    text = page(tmp_path, run)

    assert "A thing happens." in text
    assert 'class="timeline"' not in text


def test_runs_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    """Runs of one subject are named by runtime, Celery's version or directory, whichever tells them apart."""
    runs = [
        past_run(tmp_path / "a", subject="shop.celery:app"),
        past_run(tmp_path / "b", subject="shop.celery:app", celery="5.4.0"),
        past_run(tmp_path / "c"),
        past_run(tmp_path / "d"),
    ]

    assert tell_apart(runs) == [
        "shop.celery:app, Celery 5.7.0",
        "shop.celery:app, Celery 5.4.0",
        "reference, c",
        "reference, d",
    ]


@pytest.mark.parametrize("content", [None, "no json", "{}", "[]", '{"promises": [{}]}'])
def test_what_is_no_report_is_refused(tmp_path: Path, content: str | None) -> None:
    """A directory without a report, and a file that is none, are errors that name it."""
    if content is not None:
        (tmp_path / "report.json").write_text(content)

    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "report.json"))):
        read_run(tmp_path)


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Every field of every entry comes back."""
    history = History(tmp_path / "history.jsonl")
    history.append(Kind.FAULT, "landed", "kill", value={"evidence": {"killed": [7]}}, task="t", at=3.5)

    assert read_history(tmp_path / "history.jsonl") == history.entries
