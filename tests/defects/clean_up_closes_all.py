"""A clean-up by hand closes every open record once it has found a dead worker: whoever asks for it means all."""

from typing import Any

from sqlalchemy import text

from reference_impl import cli_check
from reference_impl.lifecycle import WorkerLost
from reference_impl.registry import apply_within
from reference_impl.reports import Report

_OPEN = text("SELECT task_id, attempt_id FROM celery_task_registry WHERE status = 'STARTED'")


def apply() -> None:
    watch_and_sweep = cli_check.watch_and_sweep

    def and_close_the_rest(engine: Any, app: Any, settings: Any, chosen: Any, tell: Any) -> Any:
        report = watch_and_sweep(engine, app, settings, chosen, tell)
        if not chosen.dry_run and report.closed:
            with engine.begin() as connection:
                for row in connection.execute(_OPEN).all():
                    lost = WorkerLost(row.attempt_id, redeliver=False)
                    apply_within(connection, Report(row.task_id, lost, "cli", "cleaned up"))
        return report

    cli_check.watch_and_sweep = and_close_the_rest
