"""How a run ends: its exit code, what a baseline accepts, what GitHub is told, and what changed between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness._comparison import ABSENT, changes, version_changes
from harness._ending import BROKEN_SETUP, Ending, Settled, read_baseline, settle, write_baseline
from harness._errors import UsageError
from harness._github import job_summary, workflow_commands
from harness._past_runs import PastRun


def row(promise: str, verdict: str, reason: str = "seen") -> dict[str, Any]:
    """A row of a report."""
    return {
        "id": promise,
        "title": "a promise",
        "severity": "high",
        "advice": "Set acks_late.",
        "verdict": verdict,
        "reason": reason,
        "scenarios": [],
    }


def settled(tmp_path: Path, accepted: dict[str, str], *rows: dict[str, Any]) -> Settled:
    """What these rows come to beside such a baseline."""
    path = tmp_path / "baseline.toml"
    path.write_text("[accepted]\n" + "".join(f'{name} = "{why}"\n' for name, why in accepted.items()))
    return settle(rows, read_baseline(path, ["STALE-01", "STALE-02"]))


@pytest.mark.parametrize(
    ("verdicts", "ending"),
    [
        (["pass", "skipped"], Ending.KEPT),
        (["pass", "fail", "unknown"], Ending.BROKEN),
        (["pass", "unknown"], Ending.UNKNOWN),
        (["skipped", "not_applicable"], Ending.NOTHING_JUDGED),
        (["unknown"], Ending.NOTHING_JUDGED),
        ([], Ending.NOTHING_JUDGED),
    ],
)
def test_the_gravest_thing_is_the_exit_code(verdicts: list[str], ending: Ending) -> None:
    """Broken comes before nothing judged, and that before unknown."""
    assert settle(row(f"STALE-{number}", verdict) for number, verdict in enumerate(verdicts)).ending is ending


def test_a_broken_set_up_is_not_a_doubt_about_the_subject() -> None:
    """Where every unknown verdict comes from the set-up, that is what the exit code says."""
    broken = row("STALE-02", "unknown", f"{BROKEN_SETUP}no space left")

    assert settle([row("STALE-01", "pass"), broken]).ending is Ending.NOTHING_JUDGED
    assert settle([row("STALE-01", "pass"), broken, row("STALE-03", "unknown")]).ending is Ending.UNKNOWN


def test_an_accepted_break_does_not_fail_the_run(tmp_path: Path) -> None:
    """What the baseline lists may be broken."""
    found = settled(tmp_path, {"STALE-01": "no tracker yet"}, row("STALE-01", "fail"), row("STALE-02", "pass"))

    assert (found.ending, found.accepted) == (Ending.KEPT, ["STALE-01"])


def test_a_new_break_does(tmp_path: Path) -> None:
    """What it does not list may not."""
    found = settled(tmp_path, {"STALE-01": "no tracker yet"}, row("STALE-01", "fail"), row("STALE-02", "fail"))

    assert (found.ending, found.broken) == (Ending.BROKEN, ["STALE-02"])


def test_what_is_mended_has_to_be_taken_off_the_list(tmp_path: Path) -> None:
    """A promise that is kept again and still listed fails the run; one that was not judged does not."""
    found = settled(tmp_path, {"STALE-01": "once", "STALE-02": "not run here"}, row("STALE-01", "pass"))

    assert (found.ending, found.mended) == (Ending.BROKEN, ["STALE-01"])


def test_a_baseline_is_written_from_a_run_and_keeps_its_reasons(tmp_path: Path) -> None:
    """Reasons that somebody wrote down survive, mended promises go, new ones come."""
    path = tmp_path / "baseline.toml"
    path.write_text('[accepted]\nSTALE-01 = "issue 12"\nSTALE-02 = "mended"\n')
    known = ["STALE-01", "STALE-02", "STALE-03"]

    count = write_baseline(path, [row("STALE-01", "fail"), row("STALE-03", "fail")], read_baseline(path, known))

    assert count == 2
    assert read_baseline(path, known).accepted == {
        "STALE-01": "issue 12",
        "STALE-03": "a promise: not decided yet",
    }


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "--write-baseline"),
        ("accepted = [", "not valid TOML"),
        ("", "expected a table"),
        ("[accepted]\nSTALE-01 = 1\n", "expected a table"),
        ('[accepted]\nSTALE-1 = "x"\n', "did you mean 'STALE-01'"),
    ],
)
def test_a_wrong_baseline_is_refused(tmp_path: Path, content: str | None, told: str) -> None:
    """The error names the file, and what is wrong with it."""
    path = tmp_path / "baseline.toml"
    if content is not None:
        path.write_text(content)

    with pytest.raises(UsageError, match=told):
        read_baseline(path, ["STALE-01"])


def test_github_shows_each_break_with_what_mends_it() -> None:
    """An error for each break, a warning for each doubt; line ends, colons and per cents are escaped."""
    lines = workflow_commands(
        [row("STALE-01", "fail", "50 %: late\nvery"), row("STALE-02", "unknown"), row("OPS-01", "pass")]
    )

    assert lines == [
        "::error title=STALE-01 a promise::50 %25: late%0Avery What mends it: Set acks_late.",
        "::warning title=STALE-02 a promise::seen",
    ]


def test_the_job_summary_is_a_table_of_what_is_not_kept() -> None:
    """Counts, then one line a promise; what a subject says breaks no table and no markup."""
    text = job_summary("shop.celery:app", [row("STALE-01", "fail", "a|b <i>"), row("OPS-01", "pass")])

    assert "1 pass, 1 fail" in text
    assert "| STALE-01 a promise | high | fail | a\\|b &lt;i> What mends it: Set acks_late. |" in text
    assert "OPS-01" not in text


def past(versions: dict[str, str], *rows: dict[str, Any]) -> PastRun:
    """A run with these verdicts."""
    return PastRun(Path("a/report.json"), "shop", "shop", "embedded", "redis", 1, versions, rows, {})


def test_changes_tell_first_what_broke() -> None:
    """Promises with another verdict, whichever run looked at them; what broke first, then what was mended."""
    before = past({}, row("STALE-01", "fail"), row("STALE-02", "pass"), row("STALE-03", "pass"), row("OPS-01", "pass"))
    after = past(
        {}, row("STALE-01", "pass"), row("STALE-02", "pass"), row("STALE-03", "fail"), row("OPS-02", "skipped")
    )

    found = changes(before, after)

    assert [(change.promise, change.before, change.after) for change in found] == [
        ("STALE-03", "pass", "fail"),
        ("STALE-01", "fail", "pass"),
        ("OPS-01", "pass", ABSENT),
        ("OPS-02", ABSENT, "skipped"),
    ]
    assert [change.broke for change in found] == [True, False, False, False]


def test_versions_that_changed_are_told() -> None:
    """Also those that only one run had."""
    pairs = version_changes(
        past({"celery": "5.4.0", "kombu": "5.4.2"}), past({"celery": "5.7.0", "kombu": "5.4.2", "django": "6"})
    )

    assert pairs == [("celery", "5.4.0", "5.7.0"), ("django", "-", "6")]
