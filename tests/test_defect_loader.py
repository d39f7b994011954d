"""How a defect gets into the processes of the reference: into each that imports it, before anything can use it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import harness

LOADER = Path(harness.__file__).parent / "defect_loader"
DEFECT = """
from reference_impl import schema

def apply():
    schema.migrate = lambda *_: print("not migrated")
"""

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs Python with the defect on its way in; gives what it printed."""
    (tmp_path / "defect").mkdir()
    (tmp_path / "forgets.py").write_text(DEFECT)
    environment = {
        **os.environ,
        "PYTHONPATH": str(LOADER),
        "CELERY_CONFORMANCE_DEFECT": str(tmp_path / "forgets.py"),
        "CELERY_CONFORMANCE_DIRECTORY": str(tmp_path),
        "CELERY_TRACKING_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
    }

    def start(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    return start


def witnesses(tmp_path: Path) -> int:
    """How many processes say that the defect is in them."""
    return len(list((tmp_path / "defect").iterdir()))


@pytest.mark.parametrize(
    "program",
    [
        ("-c", "from reference_impl.schema import migrate; migrate(None)"),
        ("-c", "import reference_impl.cli; reference_impl.cli.migrate_schema(None)"),
        ("-m", "reference_impl", "migrate"),
    ],
    ids=["a module of it", "what looked the name up at once", "the command"],
)
def test_whoever_imports_the_reference_has_the_defect(run: Run, tmp_path: Path, program: tuple[str, ...]) -> None:
    """Whichever way the package is imported, its patch is in place before anybody looks a name up."""
    said = run(*program)

    assert said.startswith("not migrated\n")
    assert witnesses(tmp_path) == 1


def test_whoever_only_asks_where_the_reference_is_still_gets_the_defect(run: Run, tmp_path: Path) -> None:
    """Looking for the package without importing it does not use the defect up."""
    said = run(
        "-c",
        "import importlib.util; importlib.util.find_spec('reference_impl'); import reference_impl.schema as schema; "
        "schema.migrate(None)",
    )

    assert said == "not migrated\n"
    assert witnesses(tmp_path) == 1


def test_a_process_without_the_reference_does_not_load_it(run: Run, tmp_path: Path) -> None:
    """Such a process, like the keeper, starts as fast as ever."""
    said = run("-c", "import sys; print('celery' in sys.modules)")

    assert said == "False\n"
    assert witnesses(tmp_path) == 0
