"""The command `celery-conformance`: judge an application, and look at what runs have found.

Names in this module are those of the command line. A user error ends with exit code 2 and one message.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from rich.console import Console
from rich.table import Table

from harness._application import interpreter
from harness._comparison import changes, version_changes
from harness._ending import Ending
from harness._errors import HarnessError
from harness._new_subject import first_subject
from harness._page import NAME, write_page
from harness._past_runs import read_run, tell_apart

HERE = Path(__file__).parent
SCENARIOS = HERE.parent / "scenarios"
PLUGINS = ("celery_conformance", "xdist", "_hypothesis_pytestplugin")
_STOPPED = 130
_APPLICATION = typer.Option("--app", metavar="MODULE:NAME", help="the Celery application, as in celery -A")
Interpreter = Annotated[
    Path | None, typer.Option(metavar="PATH", help="the interpreter of its environment; this one unless given")
]

app = typer.Typer(
    help="Judge what a Celery application, and whatever tracks its tasks, promises while workers die.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"celery-conformance {version('celery-conformance')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Of the command itself."""


class _Listener:
    """Hears what a run came to."""

    def __init__(self) -> None:
        self.rows: Sequence[Mapping[str, Any]] = ()
        self.ending: Ending | None = None

    def pytest_conformance_judged(self, rows: Sequence[Mapping[str, Any]], ending: Ending) -> None:
        """The plugin's hook."""
        self.rows, self.ending = rows, ending


@app.command()
def run(
    application: Annotated[str | None, _APPLICATION] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="NAME", help="instead: a subject.toml, a class, reference or bare-celery")
    ] = None,
    python: Interpreter = None,
    celery: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="run it with this version of Celery, in an environment made once"),
    ] = None,
    requirement: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="REQUIREMENT", help="and with this: kombu==5.3.7; may be repeated"),
    ] = None,
    promise: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="only this one, or this system; may be repeated")
    ] = None,
    severity: Annotated[
        list[str] | None, typer.Option(metavar="LEVEL", help="only critical, high, medium or low; may be repeated")
    ] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="only this one, as a run names it; may be repeated")
    ] = None,
    words: Annotated[
        str | None, typer.Option("-k", metavar="WORDS", help="only scenarios that fit, as pytest has it")
    ] = None,
    runtime: Annotated[str, typer.Option(metavar="NAME", help="embedded, containers or external")] = "embedded",
    broker: Annotated[str, typer.Option(metavar="NAME", help="redis or rabbitmq")] = "redis",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="scenarios side by side")] = 2,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="breaks that are accepted; fails on others, and on mended ones")
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="accept every break of this run, in a file")
    ] = None,
    junitxml: Annotated[Path | None, typer.Option(metavar="FILE", help="write a report in JUnit's format")] = None,
    harness_seed: Annotated[int | None, typer.Option(metavar="N", help="seed of everything random")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="keep databases and server data")] = False,
    more: Annotated[list[str] | None, typer.Argument(metavar="-- [PYTEST]...", help="options for pytest")] = None,
) -> None:
    """Run the scenarios against an application.

    Exit codes: 0 all that was judged is kept, 1 broken, 2 wrong usage, 3 broken set-up or nothing judged, 4 unknown.
    """
    if (application is None) == (subject is None):
        raise _refused("name what to judge: --app proj.celery:app, or --subject subject.toml")
    given = [str(SCENARIOS / name) for name in scenario or []] or [str(SCENARIOS)]
    given += [f"--rootdir={Path.cwd()}", "-c", str(HERE / "run.ini"), "-n", str(jobs if jobs > 1 else 0)]
    for plugin in PLUGINS:
        given += ["-p", plugin]
    options: Mapping[str, Any] = {
        "--subject": application or subject,
        "--python": python,
        "--celery": celery,
        "--with": requirement,
        "--promise": promise,
        "--severity": severity,
        "--runtime": runtime,
        "--broker": broker,
        "--baseline": baseline,
        "--write-baseline": write_baseline,
        "--junitxml": junitxml,
        "--harness-seed": harness_seed,
    }
    for name, values in options.items():
        for value in values if isinstance(values, list) else [values]:
            given += [f"{name}={value}"] if value is not None else []
    given += ["-k", words] if words else []
    given += ["--keep"] if keep else []
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of the application's tests are none of ours
    listener = _Listener()
    code = pytest.main([*given, *(more or [])], plugins=[listener])
    raise typer.Exit(_exit_code(code, listener.ending))


@app.command()
def init(
    application: Annotated[str, _APPLICATION],
    python: Interpreter = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="the file to write")] = Path("subject.toml"),
) -> None:
    """Write a first subject.toml, with comments, filled with what can be found out by looking at the application."""
    if output.exists():
        raise _refused(f"{output} is there already; name another with --output, or remove it")
    try:
        text = first_subject(application, interpreter(python), output)
        output.write_text(text)
    except HarnessError as error:
        raise _refused(str(error)) from error
    except OSError as error:
        raise _refused(f"{output}: cannot be written: {error.strerror}") from error
    typer.echo(f"{output}: look it over, then: celery-conformance run --subject {output}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="run directories, or their report.json")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the page to write")] = Path(NAME),
) -> None:
    """Write one page for several runs, side by side."""
    try:
        write_page(output, [read_run(path) for path in runs])
    except HarnessError as error:
        raise _refused(str(error)) from error
    except OSError as error:
        raise _refused(f"{output}: cannot be written: {error.strerror}") from error
    typer.echo(str(output))


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="a run directory, or its report.json")],
    after: Annotated[Path, typer.Argument(metavar="B", help="a later one")],
) -> None:
    """Show what changed between two runs; exit code 1 if a promise is not kept any more."""
    try:
        runs = [read_run(path) for path in (before, after)]
    except HarnessError as error:
        raise _refused(str(error)) from error
    names = tell_apart(runs)
    console = Console(highlight=False)
    for product, first, second in version_changes(*runs):
        console.print(f"{product}: {first} -> {second}")
    found = changes(*runs)
    table = Table("promise", names[0], names[1], "what was found", box=None, pad_edge=False)
    for change in found:
        style = "bold red" if change.broke else "green" if change.mended else ""
        verdicts = [verdict.replace("_", " ") for verdict in (change.before, change.after)]
        table.add_row(f"{change.promise} {change.title}", *verdicts, change.why[:300], style=style)
    if found:
        console.print(table)
    broke, mended = sum(change.broke for change in found), sum(change.mended for change in found)
    console.print(f"{len(found)} verdicts changed: {broke} broke, {mended} mended")
    raise typer.Exit(1 if broke else 0)


def _exit_code(code: int, ending: Ending | None) -> int:
    """Of pytest's codes those that say why nothing was judged; else what the verdicts come to."""
    if code == pytest.ExitCode.INTERRUPTED:
        return _STOPPED
    if code == pytest.ExitCode.USAGE_ERROR:
        return Ending.USAGE
    if ending is None or code in {pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED}:
        return Ending.NOTHING_JUDGED
    if ending is Ending.KEPT and code != pytest.ExitCode.OK:
        return Ending.NOTHING_JUDGED  # something beside the verdicts went wrong: a tear-down
    return ending


def _refused(message: str) -> typer.Exit:
    Console(stderr=True, highlight=False, soft_wrap=True).print(message, markup=False)
    return typer.Exit(Ending.USAGE)
