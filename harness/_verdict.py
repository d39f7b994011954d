"""Verdicts, and the one function that may issue a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from harness._history import Entry, History, Kind


class Verdict(StrEnum):
    """The first three are a check's; the others say why there is none."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    NOT_APPLICABLE = "not_applicable"
    UNCOVERED = "uncovered"


SEVERITY = [
    Verdict.UNCOVERED,
    Verdict.NOT_APPLICABLE,
    Verdict.PASS,
    Verdict.SKIPPED,
    Verdict.UNKNOWN,
    Verdict.FAIL,
]
"""Of several verdicts on one promise the last in this order stands."""


@dataclass(frozen=True)
class Violation:
    """One way in which a history breaks a promise; `kind` is what a defect says it will cause."""

    kind: str
    message: str
    entries: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What one check made of a history."""

    check: str
    verdict: Verdict
    reason: str
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True)
class Check:
    """A named pure function from history to finding."""

    name: str
    examine: Callable[[History], Finding]

    def __call__(self, history: History) -> Finding:
        """A check that crashes knows nothing."""
        try:
            return self.examine(history)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no verdict on the subject
            return Finding(self.name, Verdict.UNKNOWN, f"the check crashed: {type(error).__name__}: {error}")


@dataclass
class Inquiry:
    """Collects what one check finds; the absence of evidence is never a pass."""

    check: str
    violations: list[Violation] = field(default_factory=list)
    evidence: int = 0
    missing: list[str] = field(default_factory=list)

    def seen(self, count: int = 1) -> None:
        """Count something that could have been wrong and was looked at."""
        self.evidence += count

    def broken(self, kind: str, message: str, *entries: Entry) -> None:
        """Note a violation with the entries that show it."""
        self.evidence += 1
        self.violations.append(Violation(kind, message, tuple(entry.index for entry in entries)))

    def lacking(self, what: str) -> None:
        """Note evidence that the history should have and has not."""
        self.missing.append(what)

    def finding(self, summary: str) -> Finding:
        """Fail over unknown over pass."""
        if self.violations:
            said = "; ".join(violation.message for violation in self.violations[:5])
            return Finding(self.check, Verdict.FAIL, said, tuple(self.violations))
        if self.missing:
            return Finding(self.check, Verdict.UNKNOWN, "no evidence of " + ", ".join(self.missing))
        if not self.evidence:
            return Finding(self.check, Verdict.UNKNOWN, "the history shows nothing that this check looks at")
        return Finding(self.check, Verdict.PASS, summary)


@dataclass(frozen=True)
class Judgement:
    """The verdict of a scenario, with what each check found."""

    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...] = ()

    def as_value(self) -> dict[str, Any]:
        """For reports."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "findings": [
                {
                    "check": finding.check,
                    "verdict": finding.verdict,
                    "reason": finding.reason,
                    "violations": [vars(violation) for violation in finding.violations],
                }
                for finding in self.findings
            ],
        }


def certify(history: History, checks: Sequence[Check]) -> Judgement:
    """The only place where a pass is issued.

    It takes a steady state before the first fault, evidence that every injected fault landed, an operation that
    succeeded, and at least one check, all of which pass.
    """
    if not checks:
        return Judgement(Verdict.UNKNOWN, "no check was asked")
    findings = tuple(check(history) for check in checks)
    doubt = _doubt(history)
    worst = max((finding.verdict for finding in findings), key=SEVERITY.index)
    if doubt is not None:
        return Judgement(Verdict.UNKNOWN, doubt, findings)
    if worst is Verdict.PASS:
        return Judgement(Verdict.PASS, "; ".join(finding.reason for finding in findings), findings)
    reasons = [f"{finding.check}: {finding.reason}" for finding in findings if finding.verdict is worst]
    return Judgement(worst, "; ".join(reasons), findings)


def _doubt(history: History) -> str | None:
    injected = history.faults("inject")
    landed = {entry.value["number"] for entry in history.faults("landed")}
    for entry in injected:
        if entry.value["number"] not in landed:
            return f"the fault `{entry.f}` on {entry.value['target']} did not land"
    succeeded = history.select(Kind.OPERATION, type="ok")
    if not succeeded:
        return "no operation succeeded"
    if injected and succeeded[0].at > injected[0].at:
        return "there was no steady state before the first fault"
    return None
