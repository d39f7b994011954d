"""Two reports are compared promise by promise: kept in both, or not applicable by the catalogue's word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import UsageError
from harness._agreement import compare, last_reports, main
from harness._catalogue import Catalogue, load_catalogue
from harness._past_runs import read_run

CATALOGUE = """
[[promise]]
id = "A-01"
title = "one"
severity = "low"
statement = "One."
scenarios = ["test_a.py::test_one"]
defects = [{ id = "a", check = "c", violation = "v" }]

[[promise]]
id = "A-02"
title = "two"
severity = "low"
statement = "Two."
scenarios = ["test_a.py::test_two"]
defects = [{ id = "b", check = "c", violation = "v" }]
not_applicable = { embedded = "it takes a container" }

[[promise]]
id = "A-03"
title = "three"
severity = "low"
statement = "Three."
"""
AGREED = {"A-01": "pass", "A-02": "not_applicable", "A-03": "uncovered"}


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """Three promises: for all runtimes, for containers alone, and not yet covered."""
    path = tmp_path / "catalogue.toml"
    path.write_text(CATALOGUE)
    return load_catalogue(path)


def written(home: Path, run: str, runtime: str, verdicts: dict[str, str]) -> Path:
    """The report of a run."""
    path = home / run / "report.json"
    path.parent.mkdir(parents=True)
    rows = [{"id": promise, "verdict": verdict, "scenarios": []} for promise, verdict in verdicts.items()]
    path.write_text(
        json.dumps(
            {
                "subject": "reference",
                "name": "reference",
                "runtime": runtime,
                "broker": "redis",
                "seed": 1,
                "versions": {},
                "promises": rows,
                "summary": {},
            }
        )
    )
    return path


def disagreements(catalogue: Catalogue, home: Path, embedded: dict[str, str], containers: dict[str, str]) -> list[str]:
    """The promises on which two runs with these verdicts do not agree."""
    first = read_run(written(home, "1", "embedded", embedded))
    second = read_run(written(home, "2", "containers", containers))
    return [pair.promise for pair in compare(catalogue, first, second) if pair.why_not]


def test_kept_in_both_or_not_applicable_by_the_catalogue(catalogue: Catalogue, tmp_path: Path) -> None:
    """What nobody covers is not compared."""
    assert disagreements(catalogue, tmp_path, AGREED, AGREED | {"A-02": "pass"}) == []


@pytest.mark.parametrize("verdict", ["fail", "unknown", "skipped", "not_applicable", "uncovered"])
def test_anything_else_is_a_disagreement(catalogue: Catalogue, tmp_path: Path, verdict: str) -> None:
    """Even the same verdict twice, unless it is a pass; the list of the other runtime excuses nobody."""
    containers = AGREED | {"A-01": verdict, "A-02": verdict}

    assert disagreements(catalogue, tmp_path, AGREED | {"A-01": verdict}, containers) == ["A-01", "A-02"]


def test_a_promise_that_was_not_run_is_a_disagreement(catalogue: Catalogue, tmp_path: Path) -> None:
    """A run of a part of the promises shows nothing of the others."""
    assert disagreements(catalogue, tmp_path, AGREED, {"A-02": "pass"}) == ["A-01"]


def test_a_part_is_compared_where_it_is_asked_for(catalogue: Catalogue, tmp_path: Path) -> None:
    """What is not asked for is no disagreement, and what nobody has heard of is a mistake."""
    first, second = (read_run(written(tmp_path, name, name, {"A-01": "pass"})) for name in ("one", "other"))

    assert [pair.promise for pair in compare(catalogue, first, second, ["A-01"])] == ["A-01"]
    with pytest.raises(UsageError, match="B"):
        compare(catalogue, first, second, ["B"])


def test_the_last_report_of_each_runtime_is_compared(tmp_path: Path) -> None:
    """Older ones, and runs without a report, are passed over."""
    written(tmp_path, "20260101-000000-aaaa", "embedded", AGREED)
    newer = written(tmp_path, "20260102-000000-aaaa", "embedded", AGREED)
    other = written(tmp_path, "20260101-120000-aaaa", "containers", AGREED)
    (tmp_path / "20260103-000000-aaaa").mkdir()

    assert [report.path for report in last_reports(tmp_path)] == [other, newer]


def test_without_two_runtimes_the_way_is_told(tmp_path: Path) -> None:
    """It names the commands that make the reports."""
    written(tmp_path, "20260101-000000-aaaa", "embedded", AGREED)

    with pytest.raises(UsageError, match="has of embedded alone: run `make conformance` and"):
        last_reports(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"runtime": "embedded", "promises": [1]}'])
def test_what_is_no_report_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    """By name, with exit code 2 and without a traceback."""
    path = tmp_path / "report.json"
    path.write_text(content)

    assert main([str(path), str(path)]) == 2

    assert f"report {path}: not a report.json of a conformance run" in capsys.readouterr().err
