"""The entry: which parts, how many rounds, which seed."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import HarnessError
from harness._errors import unknown
from harness._run import begin_run
from harness._scratch import default_root
from tests.bench import alarms, clusters, cost, detection, persisting, reading, recovery, scenarios, view, watching
from tests.bench.world import Bench, console

PARTS: dict[str, Callable[[Bench], bool]] = {
    "clusters": clusters.run,
    "recovery": recovery.run,
    "scenarios": scenarios.run,
    "cost": cost.run,
    "watching": watching.run,
    "reading": reading.run,
    "view": view.run,
    "persisting": persisting.run,
    "alarms": alarms.run,
    "detection": detection.run,
}

DEFECTS = Path(__file__).parent.parent / "defects"


def main() -> None:
    """Run the parts that are named, or all. The exit code is 1 if what one of them counted did not hold."""
    asked = arguments(sys.argv[1:])
    run = begin_run(Path(".conformance").absolute(), default_root(), "reference", "embedded", "redis", asked.seed)
    failed = []
    for name in asked.parts or PARTS:
        console.rule(name, align="left")
        home = run.directory / name
        home.mkdir()
        try:
            held = PARTS[name](Bench(home, run.seed, asked.rounds, asked.defect))
        except HarnessError as error:
            console.print(f"{name}: {error}")
            held = False
        if held:
            shutil.rmtree(home)
        else:
            failed.append(str(home))
    if failed:
        raise SystemExit(f"did not hold: {', '.join(failed)} has what was seen; the seed was {run.seed}")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for. Ends the program with code 2 where that makes no sense."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure, and count.")
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all unless named")
    parser.add_argument("--rounds", type=_count, help="rounds of each part, in place of its own number")
    parser.add_argument("--seed", type=int, help="seed of everything random; chosen and printed unless given")
    parser.add_argument("--defect", help="put this bug into the tracker: alarms and detection have to notice")
    asked = parser.parse_args(words)
    for name in asked.parts:
        if name not in PARTS:
            parser.error(str(unknown("part", name, PARTS)))
    if asked.defect is not None:
        known = {path.stem: path for path in DEFECTS.glob("[!_]*.py")}
        if asked.defect not in known:
            parser.error(str(unknown("defect", asked.defect, known)))
        asked.defect = known[asked.defect]
    return asked


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {count}")
    return count


if __name__ == "__main__":
    main()
