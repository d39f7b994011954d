"""The catalogue against the code: every promise, scenario, defect, check and marker is where the catalogue says."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness._catalogue import Catalogue, load_catalogue
from harness._runtimes import LACKS
from tests.conftest import PROJECT

SCENARIOS = PROJECT / "scenarios"
PROMISES = 106
UNCOVERED = 0
SYSTEMS = {"STALE": 45, "STATE": 17, "RESULT": 17, "OPS": 16, "PERSIST": 11}
SEVERITIES = {"critical": 9, "high": 49, "medium": 32, "low": 16}
CRITICAL = {
    "STALE-01",
    "STALE-05",
    "STALE-27",
    "STATE-04",
    "STATE-07",
    "RESULT-01",
    "RESULT-02",
    "PERSIST-01",
    "PERSIST-07",
}
ARRANGED = {"STALE-05", "STALE-19", "STALE-21", "STALE-22", "STALE-27", "RESULT-08", "STATE-16"}

Selected = Callable[..., set[str]]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The specification's catalogue."""
    return load_catalogue(SCENARIOS / "catalogue.toml")


@pytest.fixture
def selected(outside: dict[str, str]) -> Selected:
    """What pytest, started in the project's root, would run; parameters left out."""

    def collect(*arguments: str) -> set[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments, "--collect-only", "-q"],
            cwd=PROJECT,
            env=outside,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == pytest.ExitCode.OK, ended.stdout + ended.stderr
        lines = ended.stdout.splitlines()
        return {line.partition("[")[0].removeprefix("scenarios/") for line in lines if "::" in line}

    return collect


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """The test functions of a file."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def marked(function: ast.FunctionDef, marker: str) -> list[ast.expr] | None:
    """The arguments of `@pytest.mark.<marker>`, where the function carries it."""
    for decorator in function.decorator_list:
        call = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(call, ast.Attribute) and call.attr == marker:
            return decorator.args if isinstance(decorator, ast.Call) else []
    return None


def scenarios() -> dict[str, tuple[str | None, ast.FunctionDef]]:
    """Every scenario in the code with the promise that it judges; a canary judges none."""
    found: dict[str, tuple[str | None, ast.FunctionDef]] = {}
    for path in SCENARIOS.rglob("test_*.py"):
        for function in functions(path):
            arguments = marked(function, "promise")
            promise = str(ast.literal_eval(arguments[0])) if arguments else None
            found[f"{path.relative_to(SCENARIOS)}::{function.name}"] = (promise, function)
    return found


def texts(*paths: Path) -> set[str]:
    """Every string in the code of these files."""
    trees = [ast.parse(path.read_text()) for path in paths]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def fault_names(path: Path) -> set[str]:
    """The faults of a module: its functions that return one."""
    return {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and isinstance(node.returns, ast.Name) and node.returns.id == "Fault"
    }


def check_names() -> set[str]:
    """The names that the harness's checks give themselves."""
    names: set[str] = set()
    for path in (PROJECT / "harness").glob("_checks_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Check":
                names.add(str(ast.literal_eval(node.args[0])))
    return names


def of_promises(catalogue: Catalogue, wanted: set[str]) -> set[str]:
    """The scenarios of these promises."""
    return {scenario for name in wanted for scenario in catalogue.promises[name].scenarios}


# -- what there is -------------------------------------------------------------------------------------------------


def test_all_promises_are_there(catalogue: Catalogue) -> None:
    """The specification has its 106 promises, numbered without a gap in each system."""
    expected = {f"{system}-{number:02d}" for system, count in SYSTEMS.items() for number in range(1, count + 1)}

    assert set(catalogue.promises) == expected
    assert len(catalogue.promises) == PROMISES


def test_the_number_of_uncovered_promises_only_falls(catalogue: Catalogue) -> None:
    """Who covers a promise lowers the number here; nobody raises it."""
    uncovered = [promise.id for promise in catalogue.promises.values() if not promise.covered]

    assert len(uncovered) == UNCOVERED


def test_the_gravest_promises_are_broken_in_two_ways(catalogue: Catalogue) -> None:
    """A critical or high promise that is judged has two defects at least."""
    grave = [it for it in catalogue.promises.values() if it.covered and it.severity in {"critical", "high"}]

    assert {promise.id for promise in grave if len(promise.defects) < 2} == set()


def test_severities_do_not_slide(catalogue: Catalogue) -> None:
    """The gravest promises are these, and no severity gains or loses a promise unnoticed."""
    promises = list(catalogue.promises.values())

    assert {promise.id for promise in promises if promise.severity == "critical"} == CRITICAL
    assert Counter(promise.severity for promise in promises) == SEVERITIES


def test_every_promise_says_something(catalogue: Catalogue) -> None:
    """A title is short, a statement is a sentence, and so is the advice for whoever breaks it."""
    for promise in catalogue.promises.values():
        assert 0 < len(promise.title) <= 40, promise.id
        assert promise.statement.endswith("."), promise.id
        assert promise.advice.endswith("."), promise.id


def test_titles_are_unique(catalogue: Catalogue) -> None:
    """No two promises have the same title or statement."""
    promises = list(catalogue.promises.values())

    assert len({promise.title for promise in promises}) == len(promises)
    assert len({promise.statement for promise in promises}) == len(promises)


# -- scenarios -----------------------------------------------------------------------------------------------------


def test_catalogue_and_scenarios_name_each_other(catalogue: Catalogue) -> None:
    """Every scenario that the catalogue lists exists and carries that promise's marker, and none is unlisted."""
    listed = {scenario: promise.id for promise in catalogue.promises.values() for scenario in promise.scenarios}

    in_code = {name: promise for name, (promise, _) in scenarios().items() if name not in catalogue.canaries}
    assert in_code == listed


def test_a_scenario_judges_one_promise(catalogue: Catalogue) -> None:
    """No scenario is listed twice."""
    listed = [scenario for promise in catalogue.promises.values() for scenario in promise.scenarios]

    assert len(listed) == len(set(listed))


def test_the_canaries_are_canaries(catalogue: Catalogue) -> None:
    """The canaries of the catalogue are those in the code, and they judge no promise."""
    canaries = {name for name, (_, function) in scenarios().items() if marked(function, "canary") is not None}

    assert canaries == set(catalogue.canaries)
    assert [scenarios()[name][0] for name in canaries] == [None] * len(canaries)


def test_every_scenario_says_what_it_does() -> None:
    """Each scenario has a docstring of its own, and gets its world from the fixture `cluster`."""
    for name, (_, function) in scenarios().items():
        assert ast.get_docstring(function), name
        assert "cluster" in [argument.arg for argument in function.args.args], name


def test_what_is_not_applicable_is_listed_with_its_reason(catalogue: Catalogue) -> None:
    """A promise is not applicable on a runtime, or with a broker, exactly if none of its scenarios can run there."""
    in_code = scenarios()
    for promise in catalogue.promises.values():
        functions = [in_code[name][1] for name in promise.scenarios]
        nowhere = {
            place
            for place, lacking in LACKS.items()
            if functions and all(any(marked(f, marker) is not None for marker in lacking) for f in functions)
        }
        assert set(promise.not_applicable) == nowhere, promise.id
        assert all(promise.not_applicable.values()), promise.id


def test_what_acts_on_a_container_is_marked() -> None:
    """A scenario that uses a fault or a condition of containers carries their marker."""
    faults = fault_names(PROJECT / "harness" / "_container_faults.py")
    for name, (_, function) in scenarios().items():
        used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        used |= {node.arg for node in ast.walk(function) if isinstance(node, ast.keyword) and node.arg}
        if used & (faults | {"memory_mb", "own_clock"}):
            assert "containers" in ast.dump(function), name


# -- defects -------------------------------------------------------------------------------------------------------


def test_every_covered_promise_can_be_seen_to_fail(catalogue: Catalogue) -> None:
    """A promise with scenarios has a defect that breaks it, and one without scenarios has none."""
    for promise in catalogue.promises.values():
        assert promise.covered == bool(promise.defects), promise.id


def test_catalogue_and_defects_name_each_other(catalogue: Catalogue) -> None:
    """Every defect of the catalogue has its file, and every file is in the catalogue."""
    files = {path.stem for path in catalogue.defects_directory.glob("*.py")} - {"__init__"}

    assert files == set(catalogue.defects)


def test_what_shows_a_defect_is_a_scenario_of_its_promise(catalogue: Catalogue) -> None:
    """Where the catalogue says which one to try first."""
    for promise in catalogue.promises.values():
        names = {scenario.rpartition("::")[2] for scenario in promise.scenarios}
        told = {defect.shown_by.partition("[")[0] for defect in promise.defects if defect.shown_by}

        assert told <= names, promise.id


def test_every_defect_names_a_check_and_a_violation_that_exist(catalogue: Catalogue) -> None:
    """What a defect says it will cause is something that a check can find."""
    checks = check_names()
    said = texts(*(PROJECT / "harness").glob("_checks_*.py"), *SCENARIOS.rglob("test_*.py"))

    for defect in catalogue.defects.values():
        assert defect.check in checks, defect.id
        assert defect.violation in said, defect.id


def test_a_defect_that_cannot_show_somewhere_says_why(catalogue: Catalogue) -> None:
    """Where a defect is not tried, the place exists and the reason is given; there is another place to try it."""
    for defect in catalogue.defects.values():
        assert set(defect.not_applicable) < set(LACKS), defect.id
        assert all(defect.not_applicable.values()), defect.id


def test_every_defect_says_what_is_wrong(catalogue: Catalogue) -> None:
    """A defect's file begins with a docstring that tells the bug."""
    for name in catalogue.defects:
        assert ast.get_docstring(ast.parse(catalogue.defect_file(name).read_text())), name


# -- selection -----------------------------------------------------------------------------------------------------


def test_the_arranged_interleavings_are_marked(catalogue: Catalogue) -> None:
    """The marker of arranged interleavings stands exactly at the promises about them."""
    marked_so = {promise.id for promise in catalogue.promises.values() if "race" in promise.markers}

    assert marked_so == ARRANGED


def test_arranged_interleavings_are_selected_by_keyword_and_by_marker(catalogue: Catalogue, selected: Selected) -> None:
    """`-k race` and `-m race` select the scenarios of these promises and nothing else, without a path."""
    expected = of_promises(catalogue, ARRANGED)

    assert selected("-k", "race") == expected
    assert selected("-m", "race") == expected


def test_signs_of_life_are_selected_by_keyword(catalogue: Catalogue, selected: Selected) -> None:
    """`-k heartbeat` selects the scenarios of STALE-11 and nothing else."""
    assert selected("-k", "heartbeat") == of_promises(catalogue, {"STALE-11"})


def test_a_promise_is_selected_by_keyword_and_by_option(catalogue: Catalogue, selected: Selected) -> None:
    """`-k STALE_05` and `--promise STALE-05` select the scenarios of that promise and nothing else."""
    expected = of_promises(catalogue, {"STALE-05"})

    assert selected("-k", "STALE_05") == expected
    assert selected("--promise", "STALE-05") == expected


def test_promises_are_selected_by_severity(catalogue: Catalogue, selected: Selected) -> None:
    """`--severity` selects the scenarios of promises of that severity, of those that `--promise` names."""
    grave = {promise.id for promise in catalogue.promises.values() if promise.severity == "critical"}

    assert selected("--severity", "critical") == of_promises(catalogue, grave)
    assert selected("--severity", "Critical", "--promise", "STALE-05") == of_promises(catalogue, {"STALE-05"})
