"""What gets into processes from outside: a defect, before anything can use the reference, and a hasty sleep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import harness

LOADER, HASTY = (Path(harness.__file__).parent / part for part in ("defect_loader", "hasty_sleep"))
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
    (tmp_path / "journal").mkdir()
    (tmp_path / "forgets.py").write_text(DEFECT)
    environment = {
        **os.environ,
        "PYTHONPATH": str(LOADER),
        "CELERY_CONFORMANCE_DEFECT": str(tmp_path / "forgets.py"),
        "CELERY_CONFORMANCE_DIRECTORY": str(tmp_path),
        "CELERY_CONFORMANCE_LIFE": "command",
        "CELERY_TRACKING_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
    }

    def start(*arguments: str, haste: str | None = None) -> str:
        command = [sys.executable, *arguments]
        path = os.pathsep.join([str(HASTY), str(LOADER)])
        hasty = {"PYTHONPATH": path, "CELERY_CONFORMANCE_HASTE": haste} if haste else {}
        given = environment | hasty
        return subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout

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


def test_pauses_pass_faster_and_the_clock_tells_them_whole(run: Run, tmp_path: Path) -> None:
    """A sleep of ten seconds takes a tenth of one, the clocks go on by ten, and the journal has what was left out."""
    began = time.monotonic()
    said = run(
        "-c",
        "import time; began = time.monotonic(), time.time(); time.sleep(10)\n"
        "print(*(round(now - then) for now, then in zip((time.monotonic(), time.time()), began)))",
        haste="100",
    )
    took_s = time.monotonic() - began
    (journal,) = (tmp_path / "journal").iterdir()
    line = json.loads(journal.read_text())

    assert said == "10 10\n"
    assert took_s < 5
    assert (line["f"], line["life"], line["value"]) == ("pause", "command", {"seconds": 10, "left_out_s": 9.9})


def test_a_hasty_process_still_gets_its_defect(run: Run, tmp_path: Path) -> None:
    """A process has one site customisation: the first lets the other have its turn."""
    said = run("-c", "from reference_impl.schema import migrate; migrate(None)", haste="2")

    assert said == "not migrated\n"
    assert witnesses(tmp_path) == 1
