"""What every part is given, and where its clusters live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rich.console import Console

from harness import Subject
from harness._clusters import Clusters
from harness._local import LocalPrograms
from harness._runtimes import RuntimeChoice
from harness._scratch import Scratch, default_root
from harness._subjects import load_subject

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Bench:
    """One run of one part. `home` is the part's own directory; `rounds` is None where the part may choose.

    With a `defect` in the tracker, a part that counts shows that it would notice.
    """

    home: Path
    seed: int
    rounds: int | None = None
    defect: Path | None = None

    def chance(self, *words: object) -> Random:
        """A source of choices that a run with the same seed makes again."""
        return Random(" ".join(map(str, (self.seed, *words))))  # noqa: S311 - to be repeated, not a secret


@contextmanager
def clusters_on(runtime: str, home: Path, subject: Subject | None = None) -> Iterator[Clusters]:
    """Clusters on a runtime, of the reference unless told otherwise."""
    chosen = subject or load_subject("reference")
    name = f"{home.name}-{runtime}-{chosen.name}"
    home.mkdir(parents=True, exist_ok=True)
    scratch = Scratch(default_root(), f"bench-{home.parent.name}-{name}")
    programs = LocalPrograms(scratch.path, chosen.preload, home / f"forkserver-{name}.log")
    opened = RuntimeChoice(runtime).open(scratch.path, home / f"servers-{name}", programs)
    clusters = Clusters(chosen, opened, programs, scratch, home)
    try:
        yield clusters
    finally:
        clusters.stop()
