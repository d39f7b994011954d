"""How a run ends for whoever called it: its exit code, and the breaks that are known and accepted."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from harness._errors import UsageError, unknown
from harness._verdict import Verdict

BROKEN_SETUP = "broken set-up: "
"""How the reason of an unknown verdict begins where the set-up failed."""


class Ending(IntEnum):
    """Exit codes of `celery-conformance run`."""

    KEPT = 0
    BROKEN = 1
    USAGE = 2
    NOTHING_JUDGED = 3
    UNKNOWN = 4


@dataclass(frozen=True)
class Baseline:
    """Accepted breaks, promise to reason, and the file that lists them."""

    path: Path
    accepted: Mapping[str, str]


@dataclass(frozen=True)
class Settled:
    """What a run's verdicts come to, beside a baseline where there is one."""

    broken: Sequence[str] = ()
    unknown: Sequence[str] = ()
    accepted: Sequence[str] = ()
    mended: Sequence[str] = ()
    judged: int = 0
    setup_broken: bool = False

    @property
    def ending(self) -> Ending:
        """What was found broken comes first, then what could not be judged."""
        if self.broken or self.mended:
            return Ending.BROKEN
        if not self.judged or self.setup_broken:
            return Ending.NOTHING_JUDGED
        return Ending.UNKNOWN if self.unknown else Ending.KEPT


def settle(rows: Iterable[Mapping[str, Any]], baseline: Baseline | None = None) -> Settled:
    """Hold the rows of a report against a baseline.

    An accepted promise that is kept now is `mended`: the run fails until it is taken off the list.
    """
    verdicts = {row["id"]: row for row in rows}
    accepted = baseline.accepted if baseline else {}
    broken = [name for name, row in verdicts.items() if row["verdict"] == Verdict.FAIL]
    doubtful = [name for name, row in verdicts.items() if row["verdict"] == Verdict.UNKNOWN]
    reasons = [verdicts[name]["reason"] for name in doubtful]
    return Settled(
        broken=[name for name in broken if name not in accepted],
        unknown=doubtful,
        accepted=[name for name in broken if name in accepted],
        mended=[name for name in accepted if name in verdicts and verdicts[name]["verdict"] == Verdict.PASS],
        judged=sum(row["verdict"] in {Verdict.PASS, Verdict.FAIL} for row in verdicts.values()),
        setup_broken=bool(reasons) and all(reason.startswith(BROKEN_SETUP) for reason in reasons),
    )


def read_baseline(path: Path, known: Iterable[str]) -> Baseline:
    """Raises UsageError for a file that is none, or for a promise that does not exist."""
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(
            f"baseline {path}: cannot be read: {error.strerror}; --write-baseline {path} makes one"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"baseline {path}: not valid TOML: {error}") from error
    accepted = table.get("accepted")
    if not isinstance(accepted, dict) or not all(isinstance(reason, str) for reason in accepted.values()):
        raise UsageError(f'baseline {path}: expected a table [accepted] with lines such as STALE-27 = "why"')
    names = list(known)
    for name in accepted:
        if name not in names:
            raise UsageError(f"baseline {path}: {unknown('promise', name, names)}")
    return Baseline(path, accepted)


def write_baseline(path: Path, rows: Iterable[Mapping[str, Any]], former: Baseline | None = None) -> int:
    """Accept every break of a run, keeping the reasons that are written down already; how many there are."""
    import tomlkit  # noqa: PLC0415 - only who asks for a file needs it

    document = tomlkit.document()
    document.add(tomlkit.comment("Promises that are known to be broken, each with the reason why that is accepted."))
    document.add(
        tomlkit.comment("A run fails on any other break, and on a promise that is kept again but still listed.")
    )
    table = tomlkit.table()
    broken = [row for row in rows if row["verdict"] == Verdict.FAIL]
    for row in broken:
        table.add(row["id"], (former.accepted if former else {}).get(row["id"], f"{row['title']}: not decided yet"))
    document.add("accepted", table)
    path.write_text(tomlkit.dumps(document))
    return len(broken)
