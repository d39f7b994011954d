"""A table of seconds, each as a share of what it may take."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from tests.bench.world import console


def print_shares(seconds: Mapping[str, float], allowed_s: Mapping[str, float]) -> None:
    """One row for each thing measured."""
    table = Table("what", "measured", "allowed", "share", box=None)
    for what, measured in seconds.items():
        table.add_row(what, f"{measured:.2f} s", f"{allowed_s[what]:g} s", f"{measured / allowed_s[what]:.0%}")
    console.print(table)
