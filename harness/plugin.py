"""The pytest plugin: selection by promise, the scenario's cluster, verdicts in every report.

`celery_conformance`, which pytest finds by itself, has its options, and begins it where there is a catalogue. The
process that the user starts makes the run and writes its reports; with xdist, its helpers hold the servers and run the
scenarios.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import ReprExceptionInfo, ReprFileLocation, ReprTracebackNative
from rich.console import Console

from harness import _report
from harness._application import interpreter
from harness._catalogue import SEVERITIES, Catalogue, Promise, load_catalogue
from harness._cluster import Cluster, PromiseBroken, PromiseUnknown
from harness._clusters import Clusters
from harness._ending import BROKEN_SETUP, Ending, Settled, read_baseline, settle, write_baseline
from harness._environments import environment_beside, requirements_for
from harness._errors import HarnessError, SetupBroken, UsageError, unknown
from harness._github import job_summary, workflow_commands
from harness._local import LocalPrograms
from harness._page import NAME, write_page
from harness._past_runs import read_run
from harness._report import ScenarioOutcome
from harness._run import Run, begin_run, package_versions, replay_command
from harness._running import RunningLine
from harness._runtimes import LACKS, RuntimeChoice
from harness._scratch import Scratch, default_root, prepare_root, refuse_closed, remove_run, sweep_leftovers
from harness._subject import CAPABILITIES, Subject
from harness._subjects import load_subject
from harness._verdict import Verdict

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

DEFECT_FIXTURE = "conformance_defect"
NOT_APPLICABLE = "not applicable: "
_KEY = pytest.StashKey["Conformance"]()
_CLUSTER = pytest.StashKey[Cluster]()
_OUTCOME = pytest.StashKey[ScenarioOutcome]()


def begin(config: pytest.Config, catalogue: Path) -> None:
    """Register the markers, and check every name the user gave before anything starts. Raises pytest.UsageError."""
    config.addinivalue_line("markers", "promise(id): the promise that the scenario judges")
    config.addinivalue_line("markers", "requires(capability): what this scenario needs beside its promise's needs")
    config.addinivalue_line("markers", "containers: the scenario acts on what only a container has of its own")
    config.addinivalue_line("markers", "redis_broker: the scenario is about Redis as a broker")
    config.addinivalue_line("markers", "own_servers: the scenario breaks its servers and gets a pair of its own")
    config.addinivalue_line("markers", "race: an arranged race")
    config.addinivalue_line("markers", "heartbeat: about signs of life")
    config.addinivalue_line("markers", "canary: an ordinary task, which every defect must leave alone")
    try:
        conformance = Conformance(config, load_catalogue(catalogue))
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_KEY] = conformance
    config.pluginmanager.register(conformance, "celery-conformance")


class Conformance:
    """One run's state in one process."""

    def __init__(self, config: pytest.Config, catalogue: Catalogue) -> None:
        self.config = config
        self.catalogue = catalogue
        requirements = requirements_for(config.getoption("--celery"), config.getoption("--with"))
        self.python: str = interpreter(config.getoption("--python"))
        if requirements:
            self.python = environment_beside(self.python, requirements)
        self.placed = [
            f"{option}={value}"
            for option in ("--python", "--celery", "--with")
            for given in [config.getoption(option)]
            for value in (given if isinstance(given, list) else [given])
            if value is not None
        ]
        self.subject: Subject = load_subject(config.getoption("--subject") or "reference", self.python)
        levels: list[str] = [level.lower() for level in config.getoption("--severity")]
        for level in levels:
            if level not in SEVERITIES:
                raise unknown("severity", level, SEVERITIES)
        self.selected: list[Promise] = [
            promise
            for promise in catalogue.select(config.getoption("--promise") or list(catalogue.promises))
            if not levels or promise.severity in levels
        ]
        self.prove: str | None = config.getoption("--prove")
        self.single_defect: str | None = config.getoption("--defect")
        if self.single_defect is not None:
            catalogue.defect(self.single_defect)
        runtime, broker = config.getoption("--runtime"), config.getoption("--broker")
        self.runtime = RuntimeChoice(
            runtime, broker, config.getoption("--postgres-bin"), config.getoption("--redis-server"), requirements
        )
        if runtime == "external" and config.getoption("--keep"):
            raise UsageError("--keep keeps what is on servers of the run's own; on those of others nothing may stay")
        if (self.prove or self.single_defect) and self.subject.name != "reference":
            raise UsageError(f"defects are patches of the reference; they cannot be put into {self.subject.name!r}")
        baseline: Path | None = config.getoption("--baseline")
        self.baseline = read_baseline(baseline, catalogue.promises) if baseline else None
        self.outcomes: list[ScenarioOutcome] = []
        self.promises: list[dict[str, Any]] = []
        self.settled = Settled()
        self._running: RunningLine | None = None
        self.failures = 0
        self.total = 0
        self.leftovers: list[str] = []
        self.stuck: list[str] = []
        self._clusters: Clusters | None = None
        words: dict[str, str] | None = getattr(config, "workerinput", {}).get("conformance_run")
        self.is_helper = words is not None
        self.servers: dict[str, str] = {} if self.is_helper else self.runtime.versions()
        self.versions: dict[str, str] = {} if self.is_helper else package_versions(self.python)
        if words is not None:
            self.run = Run.from_words(words)
        elif config.option.collectonly:
            self.run = Run("", Path(), Path(), self.subject.name, runtime, broker, 0)
        else:
            root: Path = (config.getoption("--scratch") or default_root()).resolve()
            prepare_root(root)
            refuse_closed(root)
            self.leftovers = sweep_leftovers(root)
            self.stuck = self.runtime.remove_leftovers()
            self.run = begin_run(
                config.rootpath / ".conformance",
                root,
                config.getoption("--subject") or "reference",
                runtime,
                broker,
                config.getoption("--harness-seed"),
            )

    # -- selection ---------------------------------------------------------------------------------------------

    def defects_for(self, definition: pytest.Function) -> list[str]:
        """The defects to try on a scenario in a proof run; none where it cannot run, or they cannot show."""
        where = {self.run.runtime, self.run.broker}
        if any(definition.get_closest_marker(marker) is not None for name in where for marker in LACKS[name]):
            return []
        marker = definition.get_closest_marker("promise")
        canary = definition.get_closest_marker("canary") is not None
        shown = [promise for promise in self.selected if not where & set(promise.not_applicable)]
        chosen = [d for promise in shown for d in promise.defects if not where & set(d.not_applicable)]
        if canary or self.prove == "cross":
            return [defect.id for defect in chosen]
        return [defect.id for defect in chosen if marker and defect.promise == marker.args[0]]

    def is_caught(self, defect: str) -> bool:
        """Whether no further scenario has to be tried on it; in whichever process of the run it was caught."""
        return self.prove == "first" and (self._caught / defect).exists()

    def note_caught(self, defect: str) -> None:
        """A scenario has turned red by it."""
        self._caught.mkdir(exist_ok=True)
        (self._caught / defect).touch()

    @property
    def _caught(self) -> Path:
        return self.run.directory / "caught"

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """In a proof run each scenario becomes one test a defect."""
        if self.prove and DEFECT_FIXTURE in metafunc.fixturenames:
            metafunc.parametrize(DEFECT_FIXTURE, self.defects_for(metafunc.definition), indirect=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Give scenarios the catalogue's markers and their promise's name, and leave out what was not asked for."""
        for item in items:
            marker = item.get_closest_marker("promise")
            if marker is not None:
                self._equip(item, marker.args[0])
        left_out = [item for item in items if not self._wanted(item)]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]
        if self.prove == "first":
            items.sort(key=lambda item: not self._shows(item))

    def _shows(self, item: pytest.Item) -> bool:
        """Whether it is known to turn red by its defect; the others are not needed then."""
        defect = _defect_parameter(item)
        if not isinstance(defect, str):
            return False
        name = item.name.replace(f"[{defect}]", "").replace(f"[{defect}-", "[")
        return name == self.catalogue.defect(defect).shown_by

    def _wanted(self, item: pytest.Item) -> bool:
        marker = item.get_closest_marker("promise")
        if item.get_closest_marker("canary") is not None:
            return bool(self.prove) or len(self.selected) == len(self.catalogue.promises)
        if marker is None:
            return True
        if self.prove and not isinstance(_defect_parameter(item), str):
            return False  # no defect is to be tried on it
        return marker.args[0] in {promise.id for promise in self.selected}

    def _equip(self, item: pytest.Item, promise_id: str) -> None:
        if promise_id not in self.catalogue.promises:
            raise pytest.UsageError(f"{item.nodeid}: {unknown('promise', promise_id, self.catalogue.promises)}")
        item.extra_keyword_matches |= {promise_id, promise_id.replace("-", "_")}
        for name in self.catalogue.promises[promise_id].markers:
            item.add_marker(name)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """How many are to run."""
        self.total = len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """How many are to run, where helpers collect."""
        self.total = len(ids)

    # -- running -----------------------------------------------------------------------------------------------

    @property
    def clusters(self) -> Clusters:
        """This process's servers and clusters; servers start when the first scenario needs them."""
        if self._clusters is None:
            helper = getattr(self.config, "workerinput", {}).get("workerid", "main")
            scratch = Scratch(self.run.scratch_root, f"{self.run.id}-{helper}")
            programs = LocalPrograms(
                scratch.path, self.subject.preload, self.run.directory / "forkserver.log", self.python
            )
            runtime = self.runtime.open(scratch.path, self.run.directory / "servers", programs)
            self._clusters = Clusters(self.subject, runtime, programs, scratch, self.run.directory)
        return self._clusters

    def pytest_configure_node(self, node: Any) -> None:
        """Hand the run to an xdist helper."""
        node.workerinput["conformance_run"] = self.run.as_words()

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Leave nothing behind, however the session ended."""
        keep = bool(self.config.getoption("--keep"))
        if self._clusters is not None:
            self._clusters.stop(keep=keep)
        if not self.is_helper and self.run.id:
            for path in self.run.scratch_root.glob(f"{self.run.id}-*"):
                remove_run(path)

    # -- reporting ---------------------------------------------------------------------------------------------

    def pytest_report_header(self) -> list[str]:
        """What runs, on what, from which seed."""
        if self.config.option.collectonly or self.is_helper:
            return []
        versions = self.versions
        where = f"runtime {self.run.runtime}, broker {self.run.broker}"
        lines = [
            f"conformance: subject {self.run.subject}, {where}, seed {self.run.seed}",
            f"servers: {', '.join(f'{product} {version}' for product, version in self.servers.items())}",
            ", ".join(
                f"{name} {versions[name]}" for name in ("celery", "kombu", "redis", "python") if name in versions
            ),
            f"run directory: {self.run.directory.relative_to(self.config.rootpath)}",
        ]
        if self.leftovers:
            lines.append(f"removed the leftovers of {len(self.leftovers)} dead runs: {', '.join(self.leftovers)}")
        lines += [f"a leftover of a dead run stays: {told}" for told in self.stuck]
        return lines

    def pytest_sessionstart(self) -> None:
        """No names of files between the lines of scenarios, as pytest writes them where there are no helpers."""
        terminal: TerminalReporter | None = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal.showfspath = False

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Show on a terminal what runs now."""
        if self._live and self._running is None:
            terminal: Any = self.config.pluginmanager.get_plugin("terminalreporter")
            writer = terminal._tw  # noqa: SLF001 - the only way to the stream that pytest writes to
            self._running = RunningLine(lambda text: writer.write(text, flush=True), lambda: writer.fullwidth)
        if self._running is not None:
            directory = self.run.directory / "scenarios" / _file_name(nodeid)
            self._running.began(nodeid, directory)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect outcomes; one line a scenario, as it ends."""
        text: str | None = getattr(report, "conformance", None)
        self.failures += report.failed
        if report.when == "teardown" and self._running is not None:
            self._running.ended(report.nodeid)
        if text is None or self.is_helper:
            return
        outcome = ScenarioOutcome.from_text(text)
        self.outcomes.append(outcome)
        terminal: TerminalReporter | None = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or self.config.option.verbose < 0:
            return
        word = outcome.verdict.replace("_", " ")
        if outcome.defect and self.prove and not outcome.canary:
            word = "red" if outcome.red else f"not red ({word})"
        name = outcome.scenario.rpartition("::")[2]
        with self._running.aside() if self._running else nullcontext():
            terminal.ensure_newline()
            terminal.write_line(
                f"[{len(self.outcomes):3d}/{self.total}] {word:8} {outcome.promise:10} {name}  {outcome.seconds:.1f} s"
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
        """No letters for scenarios, which have lines; in a proof run, words of its own."""
        text: str | None = getattr(report, "conformance", None)
        if text is None:
            return None
        outcome = ScenarioOutcome.from_text(text)
        if self.prove and not outcome.canary and report.outcome == "passed":
            return ("red", "", "RED") if outcome.red else ("not red", "", "NOT RED")
        return (report.outcome, "", report.outcome.upper())

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports and settle the exit code."""
        if self._running is not None:
            self._running.stop()
        if self.is_helper or self.config.option.collectonly or not self.outcomes:
            return
        if self.prove:
            rows = _report.defect_rows(self.catalogue, self.outcomes)
            _report.write_proof(self.run, rows)
            bad = any(row.missed or row.broken or (self.prove == "cross" and row.reaches_too_far) for row in rows)
        else:
            judged = [outcome for outcome in self.outcomes if not outcome.canary]
            promises = self.promises = _report.promise_rows(judged, self.selected)
            settled = self.settled = settle(promises, self.baseline)
            path = _report.write_report(self.run, self.subject.name, self._versions(), promises)
            write_page(path.with_name(NAME), [read_run(path)])
            if into := self.config.getoption("--write-baseline"):
                write_baseline(into, promises, self.baseline)
            if "GITHUB_STEP_SUMMARY" in os.environ:
                with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a") as summary:
                    summary.write(job_summary(self.run.subject, promises))
            self.config.hook.pytest_conformance_judged(rows=promises, ending=settled.ending)
            bad = settled.ending is not Ending.KEPT or self._skipped_by_the_reference(promises)
            if settled.accepted and not bad and self.failures <= len(self._failed_scenarios(settled.accepted)):
                session.exitstatus = pytest.ExitCode.OK  # what failed is what the baseline accepts
        if bad and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """The table."""
        if not self.outcomes or self.config.option.collectonly:
            return
        terminalreporter.section("proof" if self.prove else "promises")
        if self.prove:
            self._print(_report.proof_table(_report.defect_rows(self.catalogue, self.outcomes)))
        else:
            self._print(_report.promise_table(self.promises))
            self._tell_settled(terminalreporter)
        for name in ["proof.json"] if self.prove else ["report.json", NAME]:
            terminalreporter.line(f"{self.run.directory.relative_to(self.config.rootpath) / name}")

    def _tell_settled(self, terminal: TerminalReporter) -> None:
        """What the baseline makes of the verdicts, and what GitHub shows beside the code."""
        settled = self.settled
        if self.baseline is not None:
            if settled.accepted:
                terminal.line(f"accepted by {self.baseline.path}: {', '.join(settled.accepted)}")
            if settled.broken:
                terminal.line(f"broken, and not in {self.baseline.path}: {', '.join(settled.broken)}", red=True)
            if settled.mended:
                terminal.line(
                    f"kept now, and still in {self.baseline.path}; take them out: {', '.join(settled.mended)}", red=True
                )
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in workflow_commands(self.promises):
                terminal.line(line)

    def _failed_scenarios(self, promises: Sequence[str]) -> list[ScenarioOutcome]:
        return [each for each in self.outcomes if each.verdict is Verdict.FAIL and each.promise in promises]

    def _skipped_by_the_reference(self, promises: Sequence[Mapping[str, Any]]) -> bool:
        return self.run.subject == "reference" and any(row["verdict"] is Verdict.SKIPPED for row in promises)

    def _versions(self) -> dict[str, str]:
        return self.versions | {product.lower(): version for product, version in self.servers.items()}

    def _print(self, renderable: Any) -> None:
        terminal: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        file = terminal._tw._file  # noqa: SLF001 - the only way to the stream that pytest writes to
        width = terminal._tw.fullwidth if self._live else 120  # noqa: SLF001
        Console(file=file, width=max(100, width), force_terminal=terminal.hasmarkup or None, highlight=False).print(
            renderable
        )

    @property
    def _live(self) -> bool:
        terminal: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        option = self.config.option
        free = not option.usepdb and option.capture != "no"
        return bool(terminal is not None and terminal.isatty and free and not self.is_helper)


@pytest.fixture
def conformance_defect(request: pytest.FixtureRequest) -> str | None:
    """The defect in force: the proof run's parameter, or the one given by option."""
    defect: str | None = getattr(request, "param", None) or request.config.getoption("--defect")
    return defect


@pytest.fixture
def cluster(request: pytest.FixtureRequest, conformance_defect: str | None) -> Iterator[Cluster]:
    """The scenario's world; skips, by name, what the subject has no capability for."""
    conformance = request.config.stash.get(_KEY, None)
    if conformance is None:
        raise SetupBroken("no catalogue: run scenarios from a directory whose conftest.py names one")
    if conformance_defect and conformance.is_caught(conformance_defect) and not _is_canary(request.node):
        pytest.skip(f"{conformance_defect} is caught already")
    marker = request.node.get_closest_marker("promise")
    promise = conformance.catalogue.promises[marker.args[0]] if marker else None
    for place in (conformance.run.runtime, conformance.run.broker):
        _skip_what_cannot_run(request.node, promise, place)
    if promise is not None:
        _skip_what_cannot_be_judged(conformance, _needed(request.node, promise))
    name = request.node.name
    directory = conformance.run.directory / "scenarios" / _file_name(_scenario_id(request.node))
    defect = conformance.catalogue.defect_file(conformance_defect) if conformance_defect else None
    own = request.node.get_closest_marker("own_servers") is not None
    keep = bool(request.config.getoption("--keep"))
    with conformance.clusters.cluster(name, directory, own_servers=own, defect=defect, keep=keep) as world:
        request.node.stash[_CLUSTER] = world
        yield world


@pytest.fixture
def harness_seed(request: pytest.FixtureRequest) -> int:
    """The seed of everything random in this run."""
    return request.config.stash[_KEY].run.seed


def _scenario_id(item: pytest.Item) -> str:
    """How a run names a scenario, wherever the scenarios lie: pytest knows no good name beyond its root directory."""
    if item.path.is_relative_to(item.config.rootpath):
        return item.nodeid
    home: Path = item.config.stash[_KEY].catalogue.directory
    return f"{item.path.relative_to(home)}::{item.name}"


def _is_canary(item: pytest.Item) -> bool:
    return item.get_closest_marker("canary") is not None


def _defect_parameter(item: pytest.Item) -> Any:
    """In a proof run, the defect that the test was parametrised with."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(DEFECT_FIXTURE) if callspec is not None else None


def _skip_what_cannot_run(item: pytest.Item, promise: Promise | None, place: str) -> None:
    if promise is not None and place in promise.not_applicable:
        pytest.skip(f"{NOT_APPLICABLE}{promise.not_applicable[place]}")
    for marker, reason in LACKS[place].items():
        if item.get_closest_marker(marker) is not None:
            pytest.skip(f"{NOT_APPLICABLE}{reason}")


def _skip_what_cannot_be_judged(conformance: Conformance, needed: frozenset[str]) -> None:
    missing = _missing(conformance, needed)
    if missing:
        pytest.skip("; ".join(f"{name}: {reason}" for name, reason in missing.items()))


def _missing(conformance: Conformance, needed: frozenset[str]) -> dict[str, str]:
    lacks = conformance.subject.lacks
    return {
        name: lacks.get(name, f"it is not said of the subject that {CAPABILITIES[name]}")
        for name in sorted(needed - conformance.subject.capabilities)
    }


def _needed(item: pytest.Item, promise: Promise) -> frozenset[str]:
    """The capabilities without which a scenario cannot judge its promise."""
    return promise.capabilities | {name for needed in item.iter_markers("requires") for name in needed.args}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a scenario's end into a verdict, in place of a traceback."""
    report = yield
    conformance = item.config.stash.get(_KEY, None)
    marker = item.get_closest_marker("promise")
    canary = _is_canary(item)
    if conformance is None or (marker is None and not canary):
        return report
    if not (report.when == "call" or (report.when == "setup" and not report.passed)):
        if report.when == "teardown" and call.excinfo and isinstance(call.excinfo.value, HarnessError):
            report.longrepr = _told(item, str(call.excinfo.value))
        return report
    outcome = _outcome(conformance, item, call, report, marker.args[0] if marker else "canary", canary=canary)
    item.stash[_OUTCOME] = outcome
    if outcome.red and outcome.defect and conformance.prove:
        conformance.note_caught(outcome.defect)
    properties = [("promise", outcome.promise), ("verdict", str(outcome.verdict))]
    properties += [("defect", outcome.defect)] if outcome.defect else []
    item.user_properties += properties  # JUnit reads them off the tear-down's report
    report.user_properties += properties
    # As text: xdist carries only plain types from its helpers to the controller.
    report.conformance = outcome.as_text()  # type: ignore[attr-defined]
    if report.failed:
        report.longrepr = _told(item, _explanation(conformance, item, call, outcome))
    if conformance.prove and not canary and report.when == "call":
        report.outcome, report.longrepr = "passed", None
    return report


def _outcome(
    conformance: Conformance,
    item: pytest.Item,
    call: pytest.CallInfo[None],
    report: pytest.TestReport,
    promise: str,
    *,
    canary: bool,
) -> ScenarioOutcome:
    world = item.stash.get(_CLUSTER, None)
    judgement = world.judgement if world else None
    defect: str | None = conformance.single_defect
    if conformance.prove:
        defect = _defect_parameter(item)
    error = call.excinfo.value if call.excinfo else None
    findings: Sequence[Any] = ()
    if report.skipped:
        said = str(error)
        verdict = Verdict.NOT_APPLICABLE if said.startswith(NOT_APPLICABLE) else Verdict.SKIPPED
        reason = said.removeprefix(NOT_APPLICABLE)
    elif isinstance(error, PromiseBroken | PromiseUnknown) or (error is None and judgement is not None):
        assert judgement is not None
        verdict, reason = judgement.verdict, judgement.reason
        findings = judgement.as_value()["findings"]
    elif error is None:
        verdict, reason = Verdict.UNKNOWN, "the scenario ended without a judgement"
        report.outcome, report.longrepr = "failed", reason
    elif isinstance(error, SetupBroken):
        verdict, reason = Verdict.UNKNOWN, f"{BROKEN_SETUP}{error}"
    else:
        verdict, reason = Verdict.UNKNOWN, f"{type(error).__name__}: {error}"
    red = False
    if defect is not None and world is not None and verdict is Verdict.FAIL and world.defect_was_loaded:
        entry = conformance.catalogue.defect(defect)
        red = any(
            finding["check"] == entry.check and any(v["kind"] == entry.violation for v in finding["violations"])
            for finding in findings
        )
    return ScenarioOutcome(
        promise,
        _scenario_id(item),
        verdict,
        reason,
        call.duration,
        defect,
        red,
        canary,
        findings,
        _missing(conformance, _needed(item, conformance.catalogue.promises[promise]))
        if verdict is Verdict.SKIPPED and not canary
        else {},
        sentence=_sentence(item),
        directory=str(world.directory.relative_to(conformance.run.directory)) if world else "",
        again=replay_command(_scenario_id(item), conformance.run, defect, conformance.placed),
    )


def _sentence(item: pytest.Item) -> str:
    """What a scenario says of itself."""
    said = getattr(getattr(item, "function", None), "__doc__", None) or ""
    return " ".join(said.partition("\n\n")[0].split())


def _told(item: pytest.Item, text: str) -> ReprExceptionInfo:
    """The text in a traceback's place; its first line alone goes into pytest's summary and JUnit's message."""
    path, line, _ = item.location
    crash = ReprFileLocation(path, (line or 0) + 1, text.partition("\n")[0])
    return ReprExceptionInfo(reprtraceback=ReprTracebackNative([text + "\n"]), reprcrash=crash)


def _explanation(
    conformance: Conformance, item: pytest.Item, call: pytest.CallInfo[None], outcome: ScenarioOutcome
) -> str:
    world = item.stash.get(_CLUSTER, None)
    promise = conformance.catalogue.promises.get(outcome.promise)
    parts = [f"{outcome.promise}: {outcome.verdict}: {outcome.reason}"]
    if promise is not None:
        parts.append(f"What must hold ({promise.severity}): {promise.statement}")
    known = (PromiseBroken, PromiseUnknown, HarnessError)
    if call.excinfo is not None and not isinstance(call.excinfo.value, known):
        parts.append(str(call.excinfo.getrepr(style="short")))
    if world is not None:
        indices = [index for finding in outcome.findings for v in finding["violations"] for index in v["entries"]]
        entries = list(world.history)
        shown = _report.offending(entries, indices or [entry.index for entry in entries[-8:]])
        parts.append(f"History ({world.directory.relative_to(conformance.config.rootpath)}/history.jsonl):\n{shown}")
        parts += [
            f"The machine: for {entry.value['pressed_s']:.1f} of {entry.value['seconds']:.1f} s something "
            "that could run had to wait for a processor."
            for entry in world.history.observations("machine")[-1:]
        ]
        parts += [f"Last lines of {process.name}:\n{process.tail(12)}" for process in world.processes]
    if promise is not None and promise.advice and outcome.verdict is Verdict.FAIL:
        parts.append(f"What mends it: {promise.advice}")
    parts.append(f"Again: {outcome.again}")
    return "\n\n".join(parts)


def _file_name(node_id: str) -> str:
    path, _, name = node_id.partition("::")
    return f"{Path(path).stem}--{name}".replace("/", "_").replace("[", "--").replace("]", "")


__all__ = ["Conformance", "cluster", "conformance_defect", "harness_seed"]
