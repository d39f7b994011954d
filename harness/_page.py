"""`report.html`: the promises of one or several runs, each with its evidence and the timeline of its scenarios.

One file that needs nothing else: no network, no file beside it, and no script to be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness._catalogue import SEVERITIES
from harness._history import Entry, read_history
from harness._past_runs import PastRun, tell_apart
from harness._report import offending
from harness._templates import template
from harness._timeline import Timeline, draw
from harness._verdict import Verdict

NAME = "report.html"
ENTRIES_MAX = 5000
"""Of longer histories the timeline draws no more than the beginning."""
_HERE = Path(__file__).parent / "page"
_BROKEN = frozenset({Verdict.FAIL, Verdict.UNKNOWN})
_NOT_JUDGED = frozenset({Verdict.SKIPPED, Verdict.NOT_APPLICABLE})
"""Not shown at first where something is broken."""
_ABSENT = {"verdict": "absent", "reason": "not looked at in this run", "scenarios": []}
_WORDS = {verdict.value: verdict.replace("_", " ") for verdict in Verdict} | {"absent": "-"}


def write_page(path: Path, runs: Sequence[PastRun]) -> Path:
    """Write the page. Raises OSError."""
    names = tell_apart(runs)
    columns = [{**vars(run), "name": name} for run, name in zip(runs, names, strict=True)]
    systems: dict[str, list[Mapping[str, Any]]] = {}
    for promise in _promises(runs):
        systems.setdefault(promise["id"].partition("-")[0], []).append(promise)
    cells = [cell for promises in systems.values() for promise in promises for cell in promise["cells"]]
    text = template(_HERE / "report.html.j2").render(
        title=f"Conformance of {' and '.join(names)}",
        runs=columns,
        systems=systems,
        verdicts=list(_WORDS),
        put_away=_NOT_JUDGED if any(cell["verdict"] in _BROKEN for cell in cells) else (),
        present={cell["verdict"] for cell in cells},
        words=_WORDS,
        severities=SEVERITIES,
        style=_inlined("style.css"),
        script=_inlined("filter.js"),
    )
    path.write_text(text)
    return path


def _promises(runs: Sequence[PastRun]) -> list[Mapping[str, Any]]:
    """One entry a promise, with a cell a run; in the order of the catalogue, as reports have it."""
    rows: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        for row in run.promises:
            rows.setdefault(row["id"], row)
    found: list[Mapping[str, Any]] = []
    for promise_id, row in rows.items():
        cells = [_cell(run, run.row(promise_id) or _ABSENT) for run in runs]
        broken = any(cell["verdict"] in _BROKEN for cell in cells)
        found.append({"statement": "", "advice": "", **row, "cells": cells, "broken": broken})
    return found


def _cell(run: PastRun, row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**row, "scenarios": [_scenario(run, scenario) for scenario in row["scenarios"]]}


def _scenario(run: PastRun, scenario: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the page shows of a scenario; without its history where that is gone."""
    violations: dict[int, str] = {
        index: violation["message"]
        for finding in scenario["findings"]
        for violation in finding["violations"]
        for index in violation["entries"]
    }
    entries = _entries(run, scenario)
    return {
        "sentence": "",
        "again": "",
        **scenario,
        "name": scenario["id"].rpartition("::")[2].removeprefix("test_").replace("_", " "),
        "timeline": _timeline(entries, violations),
        "offending": offending(entries, violations) if violations else "",
    }


def _entries(run: PastRun, scenario: Mapping[str, Any]) -> list[Entry]:
    path = run.directory / scenario.get("directory", "") / "history.jsonl"
    return read_history(path) if path.is_file() else []


def _timeline(entries: Sequence[Entry], violations: Mapping[int, str]) -> Timeline | None:
    return draw(entries[:ENTRIES_MAX], violations) if entries else None


def _inlined(name: str) -> Markup:
    return Markup((_HERE / name).read_text())  # noqa: S704 - a file of the harness
