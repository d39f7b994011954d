"""A sweep from where no worker sweeps: the leases are watched first, for as long as a verdict takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from celery import Celery
from sqlalchemy import Engine

from reference_impl.one_sweeper import await_other_sweeper
from reference_impl.settings import Settings
from reference_impl.sweep import sweep
from reference_impl.sweep_report import MISSING, SweepReport


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What the caller of a sweep has asked for; `thorough` watches even where nobody is suspect."""

    force: bool = False
    dry_run: bool = False
    revoke_stuck: bool = False
    thorough: bool = False


def watch_and_sweep(
    engine: Engine, app: Celery, settings: Settings, chosen: Chosen, tell: Callable[[str], None]
) -> SweepReport:
    """Sweep until the leases have been watched for a full lease, and who is silent was asked twice.

    Only the last pass finds anything dead. `tell` hears that it takes so long.
    """
    deadline = time.monotonic() + settings.lease_s + 2 * (settings.sweep_interval_s + settings.ping_timeout_s)
    asked = {name: value for name, value in dataclasses.asdict(chosen).items() if name != "thorough"}
    told = False
    while True:
        report = sweep(engine, app, settings, by="cli", prove_broker=True, **asked)
        suspects = any(finding.liveness == "unknown" and finding.action != MISSING for finding in report.findings)
        decided = report.watched and not (report.undecided and not chosen.dry_run)
        settled = decided or not (suspects or chosen.thorough) or (report.broker_works is False and not chosen.force)
        if (settled and not report.skipped) or time.monotonic() > deadline:
            return report
        if not told and not report.skipped:
            told = True
            tell(f"watching the leases for up to {settings.lease_s:g} s ...")
        if report.skipped:
            await_other_sweeper(engine, deadline - time.monotonic())
        else:
            time.sleep(min(0.1, settings.sweep_interval_s))  # paces the passes; the deadline above ends them
