"""How long a scenario takes, and all of them: one conformance run with two helpers."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.shares import print_shares
from tests.bench.world import Bench, console

SCENARIO = "median scenario"
WHOLE = "the whole set, two helpers"
ALLOWED_S = {SCENARIO: 5.0, WHOLE: 900.0}


def run(bench: Bench) -> bool:
    """Its verdicts are not looked at here: `make conformance` is for that. It takes no rounds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"--harness-seed={bench.seed}", "scenarios"]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    took = time.monotonic() - began
    report = json.loads((Path(".conformance") / "latest" / "report.json").read_text())
    each = [scenario["seconds"] for promise in report["promises"] for scenario in promise["scenarios"]]
    print_shares({SCENARIO: statistics.median(each), WHOLE: took}, ALLOWED_S)
    console.print(f"{len(each)} scenarios, on this machine, in this run")
    return True
