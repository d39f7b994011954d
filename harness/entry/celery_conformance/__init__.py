"""The front door of the installed package: what pytest finds by itself, and its commands.

An application may have packages named `harness` and `scenarios` of its own, also in the environment into which this
one is installed. Ours are therefore put aside, in `bundle`, and have these names only in a process that makes a run:
`enter` gives them. Nothing happens in a pytest run of the application's own tests.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
HOME = next(path for path in (HERE / "bundle", HERE.parents[2]) if (path / "harness").is_dir())
"""Where the packages `harness` and `scenarios` lie: beside this file, or in the project's checkout."""
SCENARIOS = HOME / "scenarios"
CATALOGUE = "catalogue.toml"


def enter(*names: str) -> None:
    """Have `harness` and `scenarios` mean ours in this process, as far as it has not imported others of these names.

    Raises ImportError where it has one of `names`.
    """
    for name in names:
        loaded = sys.modules.get(name)
        if loaded is not None and not Path(str(loaded.__file__)).is_relative_to(HOME):
            raise ImportError(
                f"this process has imported another package named {name} ({loaded.__file__}); "
                "run `celery-conformance run` instead, in a process of its own"
            )
    if sys.path[0] != str(HOME):
        sys.path.insert(0, str(HOME))


def main() -> None:
    """The command `celery-conformance`."""
    enter("harness", "scenarios")
    from harness.cli import app  # noqa: PLC0415 - known by this name from here on

    app()


def tracker() -> None:
    """The command `celery-tracker`, which takes the extra `tracker`."""
    try:
        from reference_impl.cli import main as command  # noqa: PLC0415 - what it needs may not be there
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == "reference_impl":
            raise
        sys.exit(f"celery-tracker needs {error.name}: pip install 'celery-conformance[tracker]'")
    command()


class Hooks:
    """What a test suite tells the plugin."""

    @pytest.hookspec(firstresult=True)
    def pytest_conformance_catalogue(self, config: pytest.Config) -> Path | None:
        """The path of the catalogue."""

    def pytest_conformance_judged(self, rows: Sequence[Mapping[str, Any]], ending: int) -> None:
        """Called at the end of a run with the rows of its report, and the exit code that they come to."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hook by which a suite names its catalogue."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, in a group of their own."""
    group = parser.getgroup("celery-conformance", "conformance of Celery task tracking")
    group.addoption(
        "--promise",
        action="append",
        default=[],
        metavar="ID",
        help="only this promise (STALE-05) or system (STALE); may be repeated",
    )
    group.addoption(
        "--severity",
        action="append",
        default=[],
        metavar="LEVEL",
        help="only promises of this severity: critical, high, medium, low; may be repeated",
    )
    group.addoption(
        "--subject",
        default=None,
        metavar="NAME",
        help="package.module:app, path/to/subject.toml, package.module:Class, or the built-in reference (unless given) "
        "and bare-celery",
    )
    group.addoption(
        "--python",
        type=Path,
        default=None,
        metavar="PATH",
        help="the interpreter in whose environment the subject is installed; this one unless given",
    )
    group.addoption(
        "--celery",
        default=None,
        metavar="VERSION",
        help="run the subject with this version of Celery, in an environment that is made once beside its own",
    )
    group.addoption(
        "--with",
        action="append",
        default=[],
        metavar="REQUIREMENT",
        help="and with this, as pip has it: kombu==5.3.7; may be repeated",
    )
    group.addoption(
        "--runtime",
        default="embedded",
        metavar="NAME",
        help="where servers and workers live: embedded, containers, external",
    )
    group.addoption("--broker", default="redis", metavar="NAME", help="what carries messages: redis, rabbitmq")
    group.addoption(
        "--harness-seed", type=int, default=None, metavar="N", help="seed of everything random; printed in the header"
    )
    group.addoption("--keep", action="store_true", help="keep databases and server data in the run's directory")
    group.addoption("--defect", default=None, metavar="ID", help="put one catalogued bug back into the subject")
    group.addoption(
        "--prove",
        choices=("first", "own", "cross"),
        default=None,
        help="put every bug back in turn, against the canaries and: its own scenarios until one catches it, all of its "
        "own, or all that there are",
    )
    group.addoption(
        "--baseline",
        type=Path,
        default=None,
        metavar="FILE",
        help="breaks that are accepted; others fail the run, and so do promises that are kept again and still listed",
    )
    group.addoption(
        "--write-baseline", type=Path, default=None, metavar="FILE", help="accept every break of this run, in a file"
    )
    group.addoption("--scratch", type=Path, default=None, metavar="DIR", help="root of the scratch directories")
    group.addoption(
        "--postgres-bin", type=Path, default=None, metavar="DIR", help="directory of `postgres` and `initdb`"
    )
    group.addoption("--redis-server", type=Path, default=None, metavar="PATH", help="a Redis or Valkey server")


def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Whoever names a subject and no tests means the scenarios, unless the project has some of its own."""
    given = early_config.known_args_namespace
    own = (early_config.rootpath / path / CATALOGUE for path in early_config.getini("testpaths"))
    if given.subject is not None and not given.file_or_dir and not any(path.is_file() for path in own):
        args.append(str(SCENARIOS))


@pytest.hookimpl(trylast=True)
def pytest_conformance_catalogue(config: pytest.Config) -> Path | None:
    """That of the scenarios, where any of them was named."""
    named = (config.invocation_params.dir / argument.partition("::")[0] for argument in config.args)
    return SCENARIOS / CATALOGUE if any(path.is_relative_to(SCENARIOS) for path in named) else None


def pytest_configure(config: pytest.Config) -> None:
    """Where there is a catalogue, make the run."""
    path: Path | None = config.hook.pytest_conformance_catalogue(config=config)
    if path is None:
        return
    try:
        enter("harness", *(["scenarios"] if path == SCENARIOS / CATALOGUE else []))
    except ImportError as error:
        raise pytest.UsageError(str(error)) from error
    from harness import plugin  # noqa: PLC0415 - known by this name from here on

    plugin.begin(config, path)
    config.pluginmanager.register(plugin, "celery-conformance-plugin")
