"""The sweep command takes its caller's word for the broker, asked or not."""

from dataclasses import replace
from typing import Any

from reference_impl import cli


def apply() -> None:
    watch_and_sweep = cli.watch_and_sweep

    def trusting(engine: Any, app: Any, settings: Any, chosen: cli.Chosen, tell: Any) -> Any:
        return watch_and_sweep(engine, app, settings, replace(chosen, force=True), tell)

    cli.watch_and_sweep = trusting
