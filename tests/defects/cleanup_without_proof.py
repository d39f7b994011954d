"""The sweep command takes its caller's word for the broker, asked or not."""

from typing import Any

from reference_impl import cli


def apply() -> None:
    watch_and_sweep = cli._watch_and_sweep

    def trusting(*args: Any, force: bool, dry_run: bool) -> Any:
        return watch_and_sweep(*args, force=True, dry_run=dry_run)

    cli._watch_and_sweep = trusting
