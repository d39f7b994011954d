"""Whether two runs agree: promise by promise, kept in both, or not applicable by the catalogue's own word.

`python -m harness._agreement` compares the last report of each runtime in `.conformance`, or the two that are named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness._catalogue import Catalogue, load_catalogue
from harness._errors import HarnessError, UsageError
from harness._past_runs import PastRun, read_run
from harness._verdict import Verdict

_HOME = Path(".conformance")
_CATALOGUE = Path("scenarios/catalogue.toml")
_ABSENT = "not in the report"


@dataclass(frozen=True)
class Pair:
    """What two runs made of one promise; `why_not` is None where they agree."""

    promise: str
    first: str
    second: str
    why_not: str | None


def last_reports(home: Path) -> list[PastRun]:
    """The last report of each of two runtimes, the one that ran first in front. Raises UsageError."""
    found: dict[str, PastRun] = {}
    for path in sorted(home.glob("2*/report.json"), reverse=True):
        report = read_run(path)
        found.setdefault(report.where, report)
    if len(found) < 2:
        there = f"of {next(iter(found))} alone" if found else "none"
        raise UsageError(
            f"reports of two runtimes are needed, {home} has {there}: run `make conformance` and "
            "`make conformance RUNTIME=containers` first, or name two: make agree REPORTS='A/report.json B/report.json'"
        )
    return sorted(list(found.values())[:2], key=lambda report: report.path)


def compare(catalogue: Catalogue, first: PastRun, second: PastRun, wanted: Sequence[str] = ()) -> list[Pair]:
    """Every promise, or those wanted, that one of them judged, or should have: what is uncovered is left out.

    Raises UsageError for one that the catalogue does not have.
    """
    pairs = []
    for promise in catalogue.select(wanted or list(catalogue.promises)):
        verdicts = [report.verdicts.get(promise.id, _ABSENT) for report in (first, second)]
        if not promise.covered and set(verdicts) <= {Verdict.UNCOVERED, _ABSENT}:
            continue
        doubts = [
            f"{verdict} on {report.where}"
            for report, verdict in zip((first, second), verdicts, strict=True)
            if not _settled(verdict, promise.not_applicable, {report.runtime, report.broker})
        ]
        if set(verdicts) == {Verdict.NOT_APPLICABLE}:
            doubts.append("not applicable on both")
        pairs.append(Pair(promise.id, verdicts[0], verdicts[1], ", ".join(doubts) or None))
    return pairs


def _settled(verdict: str, not_applicable: Mapping[str, str], where: AbstractSet[str]) -> bool:
    return verdict == Verdict.PASS or (verdict == Verdict.NOT_APPLICABLE and bool(where & not_applicable.keys()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison; 0 if they agree, 1 if not, 2 when there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="python -m harness._agreement", description=__doc__.partition("\n")[0])
    parser.add_argument("reports", nargs="*", type=Path, metavar="REPORT", help="two report.json, or none")
    parser.add_argument("--promise", action="append", default=[], metavar="ID", help="only this one, or this system")
    given: Any = parser.parse_args(arguments)
    try:
        if len(given.reports) not in {0, 2}:
            raise UsageError(f"name two reports, or none; got {len(given.reports)}")
        first, second = map(read_run, given.reports) if given.reports else last_reports(_HOME)
        pairs = compare(load_catalogue(_CATALOGUE), first, second, given.promise)
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    table = Table("promise", first.where, second.where, "", box=None, pad_edge=False)
    for pair in pairs:
        shown = "[bold red]they do not agree[/]" if pair.why_not else ""
        table.add_row(pair.promise, pair.first.replace("_", " "), pair.second.replace("_", " "), shown)
    console = Console(highlight=False)
    console.print(table)
    apart = [pair for pair in pairs if pair.why_not]
    agreed = f"{len(pairs) - len(apart)} of {len(pairs)} promises agree"
    console.print(f"\n{first.path} and {second.path}: {agreed}", soft_wrap=True)
    for pair in apart:
        console.print(f"{pair.promise}: {pair.why_not}")
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main())
