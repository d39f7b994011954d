"""What a run found, promise by promise: `report.json`, `proof.json`, and the tables at the end of a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from harness._catalogue import Catalogue, DefectEntry, Promise
from harness._history import Entry
from harness._run import Run
from harness._verdict import SEVERITY, Verdict

COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.UNKNOWN: "yellow",
    Verdict.SKIPPED: "cyan",
    Verdict.NOT_APPLICABLE: "dim",
    Verdict.UNCOVERED: "dim",
}


@dataclass(frozen=True)
class ScenarioOutcome:
    """One scenario's end, as it travels between processes."""

    promise: str
    scenario: str
    verdict: Verdict
    reason: str
    seconds: float
    defect: str | None = None
    red: bool = False
    canary: bool = False
    findings: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    lacks: Mapping[str, str] = field(default_factory=dict)
    sentence: str = ""
    directory: str = ""
    again: str = ""

    def as_text(self) -> str:
        """For transport between processes."""
        return json.dumps(vars(self))

    @classmethod
    def from_text(cls, text: str) -> ScenarioOutcome:
        """What arrived."""
        value = json.loads(text)
        return cls(**{**value, "verdict": Verdict(value["verdict"])})


def promise_rows(outcomes: Iterable[ScenarioOutcome], shown: Sequence[Promise]) -> list[dict[str, Any]]:
    """One row a promise: of the verdicts of its scenarios the gravest stands."""
    by_promise: dict[str, list[ScenarioOutcome]] = {}
    for outcome in outcomes:
        by_promise.setdefault(outcome.promise, []).append(outcome)
    rows = []
    for promise in shown:
        found = by_promise.get(promise.id, [])
        if not found and promise.covered:
            continue
        verdict = max((outcome.verdict for outcome in found), key=SEVERITY.index, default=Verdict.UNCOVERED)
        reasons = [outcome.reason for outcome in found if outcome.verdict is verdict and outcome.reason]
        passed = sum(outcome.verdict is Verdict.PASS for outcome in found)
        if verdict is Verdict.SKIPPED and passed:
            lacks = ", ".join(sorted({name for outcome in found for name in outcome.lacks}))
            reasons = [f"{passed} of {len(found)} scenarios pass; the others need {lacks}"]
        rows.append(
            {
                "id": promise.id,
                "title": promise.title,
                "severity": promise.severity,
                "statement": promise.statement,
                "advice": promise.advice,
                "verdict": verdict,
                "reason": "; ".join(dict.fromkeys(reasons)) if found else "not yet covered by a scenario",
                "lacks": {name: why for outcome in found for name, why in outcome.lacks.items()},
                "scenarios": [
                    {
                        "id": outcome.scenario,
                        "sentence": outcome.sentence,
                        "verdict": outcome.verdict,
                        "reason": outcome.reason,
                        "seconds": round(outcome.seconds, 2),
                        "findings": list(outcome.findings),
                        "directory": outcome.directory,
                        "again": outcome.again,
                    }
                    for outcome in found
                ],
                "seconds": round(sum(outcome.seconds for outcome in found), 2),
            }
        )
    return rows


def write_report(run: Run, name: str, versions: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Path:
    """`report.json` in the run's directory; `name` is what the subject calls itself."""
    counts = Counter(row["verdict"] for row in rows)
    report = {
        "schema": 1,
        "subject": run.subject,
        "name": name,
        "runtime": run.runtime,
        "broker": run.broker,
        "seed": run.seed,
        "versions": dict(versions),
        "promises": list(rows),
        "summary": {verdict: counts.get(verdict, 0) for verdict in Verdict},
    }
    path = run.directory / "report.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path


def promise_table(rows: Sequence[Mapping[str, Any]]) -> Group:
    """The table at the end: what was judged by line, what was skipped by capability, what is uncovered by number."""
    table = Table(box=None, pad_edge=False)
    for column in ("promise", "severity", "verdict"):
        table.add_column(column, no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("what must hold, or what was found", overflow="fold")
    for row in rows:
        if row["verdict"] is Verdict.UNCOVERED or (row["verdict"] is Verdict.SKIPPED and not _judged_in_part(row)):
            continue
        told = row["title"] if row["verdict"] is Verdict.PASS else f"{row['title']}: {row['reason']}"
        verdict = Text(row["verdict"].replace("_", " "), style=COLOURS[row["verdict"]])
        table.add_row(row["id"], row["severity"], verdict, f"{row['seconds']:.1f}", Text(told[:600]))
    uncovered = [row["id"] for row in rows if row["verdict"] is Verdict.UNCOVERED]
    lines: list[Any] = [table, Text("")]
    skipped = [row for row in rows if row["verdict"] is Verdict.SKIPPED]
    if skipped:
        lines += [_lacking(skipped), Text("")]
    if uncovered:
        lines.append(Text(f"not yet covered ({len(uncovered)}): {_shortened(uncovered)}", style="dim"))
    lines.append(Text(tally(rows)))
    return Group(*lines)


def tally(rows: Iterable[Mapping[str, Any]]) -> str:
    """How many promises have each verdict: `12 pass, 1 fail`."""
    counts = Counter(row["verdict"] for row in rows)
    return ", ".join(f"{counts[verdict]} {verdict.replace('_', ' ')}" for verdict in Verdict if counts[verdict])


def _judged_in_part(row: Mapping[str, Any]) -> bool:
    """Whether some of its scenarios needed less than others."""
    return any(scenario["verdict"] == Verdict.PASS for scenario in row["scenarios"])


def _lacking(skipped: Sequence[Mapping[str, Any]]) -> Table:
    """By capability: what was not judged for lack of it, and what the subject says to that."""
    promises: dict[str, list[str]] = {}
    sentences: dict[str, str] = {}
    for row in skipped:
        for name, why in row["lacks"].items():
            promises.setdefault(name, []).append(row["id"])
            sentences[name] = why
    table = Table(box=None, pad_edge=False)
    table.add_column("skipped for lack of", no_wrap=True, style=COLOURS[Verdict.SKIPPED])
    table.add_column("promises", ratio=2, overflow="fold")
    table.add_column("why", ratio=3, overflow="fold")
    for name, ids in sorted(promises.items(), key=lambda item: -len(item[1])):
        table.add_row(name, Text(_shortened(ids)), Text(sentences[name]))
    return table


def _shortened(ids: Iterable[str]) -> str:
    """`STALE-01, 03 to 05; OPS-02`."""
    systems: dict[str, list[int]] = {}
    for promise_id in ids:
        system, _, number = promise_id.partition("-")
        systems.setdefault(system, []).append(int(number))
    return "; ".join(f"{system}-{', '.join(_spans(numbers))}" for system, numbers in systems.items())


def _spans(numbers: Iterable[int]) -> list[str]:
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return [
        f"{span[0]:02} to {span[-1]:02}" if len(span) > 2 else ", ".join(f"{each:02}" for each in span)
        for span in spans
    ]


@dataclass(frozen=True)
class DefectRow:
    """What became of one defect in a proof run."""

    defect: DefectEntry
    caught_by: tuple[str, ...]
    green: tuple[str, ...]
    broken: tuple[str, ...]
    reach: tuple[str, ...]

    @property
    def missed(self) -> bool:
        """Whether no scenario of its promise turned red as it says."""
        return not self.caught_by

    @property
    def reaches_too_far(self) -> bool:
        """Whether it turns more than two other promises red and nobody wrote down why."""
        return len(self.reach) > 2 and not self.defect.reason_for_reach


def defect_rows(catalogue: Catalogue, outcomes: Sequence[ScenarioOutcome]) -> list[DefectRow]:
    """One row for each defect that was tried."""
    rows = []
    for defect in catalogue.defects.values():
        tried = [outcome for outcome in outcomes if outcome.defect == defect.id]
        if not tried:
            continue
        own = [outcome for outcome in tried if outcome.promise == defect.promise and not outcome.canary]
        rows.append(
            DefectRow(
                defect,
                tuple(outcome.scenario for outcome in own if outcome.red),
                tuple(outcome.scenario for outcome in own if outcome.verdict is Verdict.PASS),
                tuple(outcome.scenario for outcome in tried if outcome.canary and outcome.verdict is not Verdict.PASS),
                tuple(
                    sorted(
                        {
                            outcome.promise
                            for outcome in tried
                            if outcome.promise != defect.promise
                            and not outcome.canary
                            and outcome.verdict is Verdict.FAIL
                        }
                    )
                ),
            )
        )
    return rows


def write_proof(run: Run, rows: Sequence[DefectRow]) -> Path:
    """`proof.json` in the run's directory."""
    proof = {
        "schema": 1,
        "subject": run.subject,
        "runtime": run.runtime,
        "broker": run.broker,
        "seed": run.seed,
        "defects": [
            {
                "id": row.defect.id,
                "promise": row.defect.promise,
                "check": row.defect.check,
                "violation": row.defect.violation,
                "caught_by": list(row.caught_by),
                "missed": row.missed,
                "not_caught_by": list(row.green),
                "broken_canaries": list(row.broken),
                "other_promises_red": list(row.reach),
                "reason_for_reach": row.defect.reason_for_reach,
            }
            for row in rows
        ],
    }
    path = run.directory / "proof.json"
    path.write_text(json.dumps(proof, indent=2) + "\n")
    return path


def proof_table(rows: Sequence[DefectRow]) -> Group:
    """One line a defect: who caught it, with which violation."""
    table = Table(box=None, pad_edge=False)
    for column in ("promise", "defect", "outcome", "violation"):
        table.add_column(column, no_wrap=True)
    table.add_column("caught by", overflow="fold")
    for row in rows:
        outcome = Text("missed", style="bold red") if row.missed else Text("caught", style="green")
        if row.broken:
            outcome = Text("unbelievable", style="bold red")
        names = sorted({name.rpartition("::")[2].partition("[")[0] for name in row.caught_by})
        catchers = ", ".join(name.removeprefix("test_").replace("_", " ") for name in names)
        if row.broken:
            catchers = f"ordinary tasks fail under it: {', '.join(row.broken)}"
        table.add_row(
            row.defect.promise, row.defect.id, outcome, f"{row.defect.check}: {row.defect.violation}", catchers
        )
    missed = [row.defect.id for row in rows if row.missed]
    told = Text(f"{len(rows)} defects: {len(rows) - len(missed)} caught, {len(missed)} missed")
    named = [Text(f"missed: {', '.join(missed)}", style="bold red")] if missed else []
    return Group(table, Text(""), told, *named)  # the last lines are those that a log is cut to


def offending(entries: Sequence[Entry], indices: Iterable[int], around: int = 2) -> str:
    """The part of a history that shows the violations, with a little of what surrounds it."""
    wanted = {near for index in indices for near in range(index - around, index + around + 1)}
    marked = set(indices)
    lines = []
    start = entries[0].at if entries else 0.0
    for entry in entries:
        if entry.index not in wanted:
            continue
        value = json.dumps(entry.value, default=str)
        shown = value if len(value) <= 300 else f"{value[:300]}..."
        sign = ">" if entry.index in marked else " "
        task = entry.task[:8] if entry.task else "-"
        lines.append(
            f"{sign} {entry.at - start:8.3f}s {entry.kind}/{entry.type} {entry.f} {entry.process} {task} {shown}"
        )
    return "\n".join(lines)
