"""What changed between two runs: versions, and the promises whose verdict is another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness._past_runs import PastRun
from harness._verdict import Verdict

ABSENT = "not looked at"


@dataclass(frozen=True)
class Change:
    """One promise, before and after; `why` is what was found in the later run."""

    promise: str
    title: str
    before: str
    after: str
    why: str

    @property
    def broke(self) -> bool:
        """Whether it is not kept any more."""
        return self.before == Verdict.PASS and self.after in {Verdict.FAIL, Verdict.UNKNOWN}

    @property
    def mended(self) -> bool:
        """Whether it is kept now."""
        return self.after == Verdict.PASS and self.before in {Verdict.FAIL, Verdict.UNKNOWN}


def changes(before: PastRun, after: PastRun) -> list[Change]:
    """Promises with another verdict, what broke first."""
    found = []
    for name in dict.fromkeys([*before.verdicts, *after.verdicts]):
        first, second = before.row(name), after.row(name)
        row = second or first
        assert row is not None
        verdicts = [said["verdict"] if said else ABSENT for said in (first, second)]
        if verdicts[0] != verdicts[1]:
            found.append(Change(name, row["title"], verdicts[0], verdicts[1], second["reason"] if second else ""))
    return sorted(found, key=lambda change: (not change.broke, not change.mended))


def version_changes(before: PastRun, after: PastRun) -> list[tuple[str, str, str]]:
    """Products with another version, or in one run only."""
    names: Sequence[str] = sorted(before.versions.keys() | after.versions.keys())
    pairs = [(name, before.versions.get(name, "-"), after.versions.get(name, "-")) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]
