"""A dry run counts what it clears."""

from typing import Any

from reference_impl import cli_check


def apply() -> None:
    clear_old_tasks = cli_check.clear_old_tasks

    def counting(engine: Any, after_s: float, *, dry_run: bool) -> int:
        return clear_old_tasks(engine, after_s, dry_run=False)

    cli_check.clear_old_tasks = counting
