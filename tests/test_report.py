"""What a run tells: its header, its lines, its table, `report.json`, JUnit, `proof.json`, and how to run it again."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness._catalogue import Catalogue, DefectEntry, Promise
from harness._history import History, Kind
from harness._pressure import Pressure
from harness._report import ScenarioOutcome, defect_rows, offending, promise_rows, proof_table, write_proof
from harness._run import Run, package_versions
from harness._verdict import Verdict
from tests.conftest import RunPytest

SCENARIO = "scenarios/stale/test_08_worker_identity.py::test_nobody_can_know"
CANARY = "scenarios/test_canary.py::test_ordinary_tasks"


@dataclass(frozen=True)
class Told:
    """What one run said, and where it recorded itself."""

    code: int
    text: str
    project: Path

    @property
    def directory(self) -> Path:
        """The run's directory, as the header names it."""
        found = re.search(r"^run directory: (.+)$", self.text, re.MULTILINE)
        assert found, self.text
        return self.project / found[1]

    def recorded(self, name: str = "report.json") -> dict[str, Any]:
        """One of the run's reports."""
        value: dict[str, Any] = json.loads((self.directory / name).read_text())
        return value


@pytest.fixture
def tell(run_pytest: RunPytest, project: Path) -> Callable[..., Told]:
    """Runs scenarios to their end."""

    def run(*arguments: str) -> Told:
        ended = run_pytest(*arguments)
        return Told(ended.returncode, ended.stdout, project)

    return run


# -- whole runs ----------------------------------------------------------------------------------------------------


def test_a_run_that_passes(tell: Callable[..., Told], project: Path, tmp_path: Path) -> None:
    """A run names what it ran on, prints a line a scenario, and records the promises that it judged."""
    junit = tmp_path / "junit.xml"

    told = tell(SCENARIO, CANARY, "--harness-seed=4711", f"--junitxml={junit}")

    assert told.code == 0, told.text
    versions = package_versions()
    report = told.recorded()
    assert "conformance: subject reference, runtime embedded, broker redis, seed 4711" in told.text
    servers = re.search(r"^servers: Postgres (\S+), (Valkey|Redis) (\S+)$", told.text, re.MULTILINE)
    assert servers
    packages = ", ".join(f"{name} {versions[name]}" for name in ("celery", "kombu", "redis", "python"))
    assert packages in told.text
    assert re.search(r"^\[  [12]/2\] pass     STALE-08   test_nobody_can_know  \d+\.\d s$", told.text, re.MULTILINE)
    assert re.search(r"^\[  [12]/2\] pass     canary     test_ordinary_tasks  \d+\.\d s$", told.text, re.MULTILINE)
    assert "\n1 pass\n" in told.text
    assert str((told.directory / "report.json").relative_to(project)) in told.text
    assert (project / ".conformance" / "latest").resolve() == told.directory

    assert report.keys() == {
        "schema",
        "subject",
        "name",
        "runtime",
        "broker",
        "seed",
        "versions",
        "promises",
        "summary",
    }
    assert [report[name] for name in ("schema", "subject", "runtime", "seed")] == [1, "reference", "embedded", 4711]
    assert report["versions"] == versions | {"postgres": servers[1], servers[2].lower(): servers[3]}
    assert {name: count for name, count in report["summary"].items() if count} == {"pass": 1}
    expected = {"id", "title", "severity", "statement", "advice", "verdict", "reason", "lacks", "scenarios", "seconds"}
    assert all(promise.keys() == expected for promise in report["promises"])
    (judged,) = report["promises"]
    assert (judged["id"], judged["title"], judged["severity"]) == ("STALE-08", "worker identity", "medium")
    assert judged["verdict"] == "pass"
    (scenario,) = judged["scenarios"]
    assert (scenario["id"], scenario["verdict"]) == (SCENARIO, "pass")
    assert 0 < scenario["seconds"] == judged["seconds"]
    assert (told.directory / scenario["directory"] / "history.jsonl").is_file()
    shown = (told.directory / "report.html").read_text()
    assert str((told.directory / "report.html").relative_to(project)) in told.text
    assert scenario["sentence"] in shown
    assert 'class="timeline"' in shown

    cases = {case.attrib["name"]: case for case in ET.parse(junit).iter("testcase")}  # noqa: S314 - pytest wrote it
    properties = {
        name: {entry.attrib["name"]: entry.attrib["value"] for entry in case.iter("property")}
        for name, case in cases.items()
    }
    assert properties == {
        "test_nobody_can_know": {"promise": "STALE-08", "verdict": "pass"},
        "test_ordinary_tasks": {"promise": "canary", "verdict": "pass"},
    }


def test_a_run_that_fails_and_its_replay(
    tell: Callable[..., Told], project: Path, scratch_root: Path, outside: dict[str, str]
) -> None:
    """A failure tells the promise, the history, the logs, and one line that runs the same again."""
    whole = "-vv"  # as on CI, where pytest's summary repeats a failure's message without shortening it
    told = tell("scenarios", "-k", "test_nobody_can_know", "--defect=eager_is_silent", whole)

    seed = told.recorded()["seed"]
    assert told.code == 1
    assert "STALE-08: fail: logged-once: an unknown worker: 0 WARNING lines" in told.text
    assert "What must hold (medium): With any pool, any `-n` name and any container host name" in told.text
    history = told.directory / "scenarios" / "test_08_worker_identity--test_nobody_can_know" / "history.jsonl"
    assert f"History ({history.relative_to(project)}):" in told.text
    assert history.is_file()
    assert re.search(r"^> +\d+\.\d{3}s observation/info log harness", told.text, re.MULTILINE)
    assert re.search(r"^Last lines of client:\n(?:.+\n)*.+succeeded", told.text, re.MULTILINE)
    pressed = re.search(
        r"^The machine: for \d+\.\d of \d+\.\d s something that could run had to", told.text, re.MULTILINE
    )
    assert (pressed is not None) is (Pressure().value() is not None)
    assert "Traceback" not in told.text
    assert "\n1 fail\n" in told.text
    summary = told.text.partition("short test summary info")[2].splitlines()
    assert [line for line in summary if line.startswith("FAILED ")] == summary[1:2]
    assert " - STALE-08: fail: logged-once: an unknown worker: " in summary[1]
    assert "= 1 failed, " in summary[2]
    (line,) = re.findall(r"^Again: (.+)$", told.text, re.MULTILINE)
    assert line.endswith(f"--harness-seed={seed} --defect=eager_is_silent")

    again = subprocess.run(
        [*shlex.split(line), f"--scratch={scratch_root}"],
        cwd=project,
        env=outside,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    replayed = Told(again.returncode, again.stdout, project)
    assert replayed.code == 1
    assert replayed.recorded()["seed"] == seed
    assert f"seed {seed}" in replayed.text
    assert "STALE-08: fail: logged-once: an unknown worker: 0 WARNING lines" in replayed.text


def test_a_proof_run(tell: Callable[..., Told]) -> None:
    """A proof run with helpers puts the bug back, sees its scenario turn red and ordinary tasks unharmed."""
    chosen = "(nobody or ordinary) and eager_is_silent"

    told = tell("scenarios", "-n", "2", "--prove=own", "--promise=STALE-08", "-k", chosen)

    assert told.code == 0, told.text
    proof = told.recorded("proof.json")
    assert [proof[name] for name in ("schema", "subject", "runtime")] == [1, "reference", "embedded"]
    (defect,) = proof["defects"]
    assert (defect["id"], defect["promise"]) == ("eager_is_silent", "STALE-08")
    assert (defect["check"], defect["violation"]) == ("logged-once", "unknown-worker-silent")
    assert defect["caught_by"] == [f"{SCENARIO}[eager_is_silent]"]
    assert not defect["missed"]
    assert defect["broken_canaries"] == []
    assert "1 defects: 1 caught, 0 missed" in told.text
    assert re.search(r"^\[  [12]/2\] red      STALE-08   test_nobody_can_know\[eager_is_", told.text, re.MULTILINE)


def test_a_proof_run_that_is_content_with_the_first_catch(tell: Callable[..., Told]) -> None:
    """What one scenario has caught is tried on no other; the canaries run all the same."""
    told = tell("scenarios", "--prove=first", "--promise=RESULT-05", "-k", "expired_is_unknown")

    assert told.code == 0, told.text
    (defect,) = told.recorded("proof.json")["defects"]
    assert (len(defect["caught_by"]), defect["missed"], defect["not_caught_by"]) == (1, False, [])
    assert re.search(r"1 passed, 2 skipped, .* 1 red", told.text)


# -- rows ----------------------------------------------------------------------------------------------------------


def promise(promise_id: str = "STALE-01", *, covered: bool = True, defects: tuple[DefectEntry, ...] = ()) -> Promise:
    """A promise with one scenario."""
    scenarios = (f"test_{promise_id}.py::test_it",) if covered else ()
    return Promise(promise_id, "a title", "high", "It holds.", frozenset(), scenarios, defects, (), {})


def outcome(verdict: Verdict, promise_id: str = "STALE-01", **said: Any) -> ScenarioOutcome:
    """The end of a scenario."""
    words: dict[str, Any] = {"scenario": "test_it", "reason": f"it is {verdict}", "seconds": 1.0} | said
    return ScenarioOutcome(promise=promise_id, verdict=verdict, **words)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.PASS, Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN], Verdict.FAIL),
        ([Verdict.PASS, Verdict.UNKNOWN], Verdict.UNKNOWN),
        ([Verdict.SKIPPED, Verdict.UNKNOWN], Verdict.UNKNOWN),
        ([Verdict.SKIPPED, Verdict.NOT_APPLICABLE], Verdict.SKIPPED),
        ([Verdict.PASS, Verdict.NOT_APPLICABLE], Verdict.PASS),
        ([Verdict.NOT_APPLICABLE], Verdict.NOT_APPLICABLE),
    ],
    ids=str,
)
def test_the_gravest_verdict_stands(verdicts: list[Verdict], expected: Verdict) -> None:
    """Of several scenarios of one promise the worst decides, and only its reasons are told, each once."""
    (row,) = promise_rows([outcome(verdict) for verdict in verdicts], [promise()])

    assert row["verdict"] is expected
    assert row["reason"] == f"it is {expected}"
    assert [scenario["verdict"] for scenario in row["scenarios"]] == verdicts
    assert row["seconds"] == len(verdicts)


def test_what_was_judged_in_part_says_so() -> None:
    """Where some scenarios passed and others could not be judged, the reason counts them and names what it takes."""
    skipped = replace(outcome(Verdict.SKIPPED), lacks={"audit": "there is no trail", "api": "nothing is served"})

    (row,) = promise_rows([outcome(Verdict.PASS), outcome(Verdict.PASS), skipped], [promise()])

    assert row["verdict"] is Verdict.SKIPPED
    assert row["reason"] == "2 of 3 scenarios pass; the others need api, audit"
    assert row["lacks"] == {"audit": "there is no trail", "api": "nothing is served"}


def test_rows_follow_the_catalogue() -> None:
    """Rows stand in the catalogue's order; an uncovered promise has one, and a covered one that did not run none."""
    shown = [promise("STALE-01"), promise("STALE-02", covered=False), promise("STALE-03")]

    rows = promise_rows([outcome(Verdict.PASS, "STALE-03")], shown)

    assert [(row["id"], row["verdict"]) for row in rows] == [
        ("STALE-02", Verdict.UNCOVERED),
        ("STALE-03", Verdict.PASS),
    ]
    assert rows[0]["reason"] == "not yet covered by a scenario"


def test_an_outcome_survives_its_way_between_processes() -> None:
    """What a helper sends is what arrives."""
    sent = outcome(Verdict.FAIL, defect="d", red=True, findings=[{"check": "executed", "violations": []}])

    assert ScenarioOutcome.from_text(sent.as_text()) == sent


DEFECT = DefectEntry("forgets", "STALE-01", "executed", "lost")


def of_defect(verdict: Verdict, promise_id: str = "STALE-01", **said: Any) -> ScenarioOutcome:
    """A scenario's end while the defect is in force."""
    return outcome(verdict, promise_id, defect="forgets", **said)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """One promise with one defect, and four without."""
    promises = [promise("STALE-01", defects=(DEFECT,)), *(promise(f"STALE-0{number}") for number in (2, 3, 4, 5))]
    return Catalogue(tmp_path, {entry.id: entry for entry in promises}, tmp_path, ())


def test_a_defect_that_its_scenario_shows_is_caught(catalogue: Catalogue) -> None:
    """A defect is caught by each scenario of its own promise that turned red as it says."""
    (row,) = defect_rows(
        catalogue, [of_defect(Verdict.FAIL, scenario="a", red=True), of_defect(Verdict.PASS, scenario="b")]
    )

    assert row.caught_by == ("a",)
    assert row.green == ("b",)
    assert not row.missed


@pytest.mark.parametrize(
    "seen",
    [
        of_defect(Verdict.PASS),
        of_defect(Verdict.UNKNOWN),
        of_defect(Verdict.FAIL),
        of_defect(Verdict.FAIL, "STALE-02", red=True),
        of_defect(Verdict.FAIL, "canary", red=True, canary=True),
    ],
    ids=["green", "unknown", "red for another reason", "another promise", "a canary"],
)
def test_a_defect_that_its_own_scenarios_do_not_show_is_missed(catalogue: Catalogue, seen: ScenarioOutcome) -> None:
    """A defect is missed unless a scenario of its own promise fails with the violation that it announces."""
    (row,) = defect_rows(catalogue, [seen])

    printed = io.StringIO()
    Console(width=200, file=printed).print(proof_table([row]))
    assert row.missed
    assert printed.getvalue().splitlines()[-2:] == ["1 defects: 0 caught, 1 missed", "missed: forgets"]


def test_a_defect_that_was_not_tried_has_no_row(catalogue: Catalogue) -> None:
    """Outcomes without the defect say nothing about it."""
    assert defect_rows(catalogue, [outcome(Verdict.FAIL)]) == []


def test_a_canary_that_does_not_pass_is_told(catalogue: Catalogue) -> None:
    """A defect that harms ordinary tasks is not a believable bug."""
    (row,) = defect_rows(
        catalogue,
        [of_defect(Verdict.FAIL, red=True), of_defect(Verdict.UNKNOWN, "canary", canary=True, scenario="canary")],
    )

    assert row.broken == ("canary",)


def test_a_defect_that_breaks_many_promises_reaches_too_far(catalogue: Catalogue, tmp_path: Path) -> None:
    """More than two other promises in red need a reason in the catalogue."""
    others = [of_defect(Verdict.FAIL, f"STALE-0{number}") for number in (4, 3, 2)]

    (two,) = defect_rows(catalogue, others[:2])
    (three,) = defect_rows(catalogue, others)
    explained = DefectEntry("forgets", "STALE-01", "executed", "lost", reason_for_reach="it loses the message")
    (excused,) = defect_rows(
        Catalogue(tmp_path, {"STALE-01": promise("STALE-01", defects=(explained,))}, tmp_path, ()), others
    )

    assert not two.reaches_too_far
    assert three.reaches_too_far
    assert three.reach == ("STALE-02", "STALE-03", "STALE-04")
    assert not excused.reaches_too_far


def test_the_proof_is_written_with_every_defect_tried(catalogue: Catalogue, tmp_path: Path) -> None:
    """`proof.json` has one entry a defect, with who caught it."""
    rows = defect_rows(catalogue, [of_defect(Verdict.FAIL, scenario="a", red=True)])

    path = write_proof(Run("r", tmp_path, tmp_path, "reference", "embedded", "redis", 5), rows)

    (entry,) = json.loads(path.read_text())["defects"]
    assert (entry["id"], entry["caught_by"], entry["missed"]) == ("forgets", ["a"], False)


def test_the_offending_part_of_a_history_is_shown() -> None:
    """The entries that show a violation are marked and stand between their neighbours; the rest is left out."""
    history = History()
    for number in range(10):
        history.append(Kind.OBSERVATION, "info", f"step-{number}")

    shown = offending(list(history), [5])

    assert [line.split()[-4] for line in shown.splitlines()] == [f"step-{number}" for number in range(3, 8)]
    assert [line for line in shown.splitlines() if line.startswith(">")] == [shown.splitlines()[2]]
