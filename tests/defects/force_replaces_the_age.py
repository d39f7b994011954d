"""`--force` is for people who know what they do: no record is too young for it."""

from typing import Any

from reference_impl import cli
from reference_impl.watched_sweep import Chosen


def apply() -> None:
    watch_and_sweep = cli.watch_and_sweep

    def at_any_age(engine: Any, app: Any, settings: Any, chosen: Chosen, tell: Any) -> Any:
        if chosen.force:
            settings = settings.model_copy(update={"minimum_age_s": 0.0})
        return watch_and_sweep(engine, app, settings, chosen, tell)

    cli.watch_and_sweep = at_any_age
