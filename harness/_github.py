"""What a run tells GitHub Actions: an annotation for each broken promise, and a summary of the job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness._report import tally
from harness._verdict import Verdict

_SHOWN = {Verdict.FAIL: "error", Verdict.UNKNOWN: "warning"}
_MESSAGE_MAX = 1000


def workflow_commands(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """One a line, for standard output."""
    return [
        f"::{_SHOWN[row['verdict']]} title={_property(row['id'] + ' ' + row['title'])}::{_text(_told(row))}"
        for row in rows
        if row["verdict"] in _SHOWN
    ]


def job_summary(subject: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: how many of each verdict, and a table of what is not kept."""
    lines = [f"### Conformance of `{subject}`", "", tally(rows), ""]
    unkept = [row for row in rows if row["verdict"] in _SHOWN]
    if unkept:
        lines += ["| promise | severity | verdict | what was found |", "|---|---|---|---|"]
        lines += [
            f"| {row['id']} {_cell(row['title'])} | {row['severity']} | {row['verdict']} | {_cell(_told(row))} |"
            for row in unkept
        ]
    return "\n".join(lines) + "\n"


def _told(row: Mapping[str, Any]) -> str:
    mends = f" What mends it: {row['advice']}" if row.get("advice") and row["verdict"] == Verdict.FAIL else ""
    return f"{row['reason'][:_MESSAGE_MAX]}{mends}"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
