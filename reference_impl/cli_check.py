"""`tasks check`, which tells where the stores disagree, and `tasks monitor`, which tells what workers do.

Exit codes of `check`: 0 all agree, 1 something is stale, 5 a store cannot be asked. Those of the others: see `cli`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import typer
from celery import Celery
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from reference_impl.agreement import Disagreement
from reference_impl.checkup import check, status
from reference_impl.cli_places import App, application, database, print_json, settings_of
from reference_impl.cli_tasks import EXIT_UNREACHABLE, AsJson, count_of, short, whole
from reference_impl.operations import NotAskedError, active_tasks, clear_old_tasks, stuck_tasks
from reference_impl.settings import Settings
from reference_impl.watched_sweep import Chosen, watch_and_sweep

EXIT_STALE = 1

MaybeApp = Annotated[
    str | None, typer.Option("--app", "-A", envvar="CELERY_APP", help="Take the settings of this application.")
]

looking = typer.Typer()
monitor = typer.Typer(no_args_is_help=True, help="What workers do, and what the registry knows of it.")
looking.add_typer(monitor, name="monitor")


@looking.command("check")
def check_stores(
    app: App,
    clean: Annotated[bool, typer.Option("--clean", help="Sweep, and let go what tells of no run.")] = False,
    with_status: Annotated[bool, typer.Option("--status", help="Tell agents, open tasks and rates, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell where task records, agents, their progress and the workers disagree; exit code 1 if anything is stale.

    With `--clean` a sweep is made, by the same proofs as any: what lives is left alone, and what is left is told.
    """
    celery_app = application(app)
    settings = settings_of(celery_app)
    with database(settings, pool_size=3) as engine:
        chosen = Chosen(dry_run=not clean, thorough=True)
        swept = watch_and_sweep(engine, celery_app, settings, chosen, partial(typer.echo, err=True))
        if swept.skipped:
            typer.echo(f"nothing was checked: {swept.skipped}; ask again", err=True)
            raise typer.Exit(EXIT_UNREACHABLE)
        found = check(engine, celery_app, settings, swept)
        with engine.connect() as connection:
            told = status(connection) if with_status else None
    if as_json:
        report: dict[str, Any] = {
            "stale": [_told(each) for each in found.stale],
            "cleaned": [_told(each) for each in found.cleaned],
            "stores": {name: cause is None for name, cause in found.stores.items()},
        }
        print_json(report | ({"status": told} if told is not None else {}))
    else:
        _print_stale("cleaned", found.cleaned)
        _print_stale("stale", found.stale)
        if told is not None:
            _print_status(told)
        typer.echo(f"{_things(found.stale)} stale" + (f", {_things(found.cleaned)} cleaned" if clean else ""))
    away = {name: cause for name, cause in found.stores.items() if cause is not None}
    for name, cause in away.items():
        typer.echo(f"the {name} cannot be asked: {cause}", err=True)
    if found.stale:
        raise typer.Exit(EXIT_STALE)
    if away:
        raise typer.Exit(EXIT_UNREACHABLE)


@monitor.command("active-tasks")
def tell_active(app: App, as_json: AsJson = False) -> None:
    """Tasks that are STARTED, or that a worker says it executes; and whether both say so."""
    _print_rows(_asked(app, active_tasks), as_json=as_json)


@monitor.command("stuck-tasks")
def tell_stuck(app: App, as_json: AsJson = False) -> None:
    """STARTED tasks without progress for `stuck_after_s`, and whether their workers execute them."""
    _print_rows(_asked(app, stuck_tasks), as_json=as_json)


@monitor.command("stats")
def tell_stats(app: MaybeApp = None, as_json: AsJson = False) -> None:
    """Open tasks by status, agents, and success and failure rates over windows of time."""
    with database(settings_of(application(app) if app else None)) as engine, engine.connect() as connection:
        told = status(connection)
    if as_json:
        print_json(told)
    else:
        _print_status(told)


@monitor.command("clear-old-tasks")
def clear_old(
    app: MaybeApp = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Seconds since their end; result_extended_expires unless given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are; change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget tasks that ended long ago, with their attempts, trails and results; open ones stay."""
    settings = settings_of(application(app) if app else None)
    after_s = older_than if older_than is not None else settings.result_extended_expires
    if after_s is None:
        raise typer.BadParameter(
            "result_extended_expires is not set: say how old they have to be", param_hint="--older-than"
        )
    with database(settings) as engine:
        count = clear_old_tasks(engine, after_s, dry_run=dry_run)
    if as_json:
        print_json({"older_than_s": after_s, "cleared": 0 if dry_run else count, "found": count, "dry_run": dry_run})
    else:
        typer.echo(f"{count_of(count)} {'would be' if dry_run else 'were'} forgotten")


def _asked(app: str, find: Callable[[Engine, Celery, Settings], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What registry and workers say together; ends the command where the workers cannot be asked."""
    celery_app = application(app)
    settings = settings_of(celery_app)
    with database(settings) as engine:
        try:
            return find(engine, celery_app, settings)
        except NotAskedError as error:
            typer.echo(f"the workers cannot be asked: {error}", err=True)
            raise typer.Exit(EXIT_UNREACHABLE) from error


def _told(each: Disagreement) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(each).items() if name not in {"entry", "over"}}


def _print_stale(title: str, found: Sequence[Disagreement]) -> None:
    if not found:
        return
    table = Table(whole("what"), "agent", whole("task"), "why", title=title, box=SIMPLE_HEAD)
    for each in found:
        table.add_row(each.kind, each.agent, each.task_id, each.why)
    Console().print(table)


def _print_rows(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(list(rows))
        return
    table = Table(whole("task"), "name", "status", "worker", "since", "executed", box=SIMPLE_HEAD)
    for row in rows:
        executed = {True: "yes", False: "no", None: "its worker did not answer"}[row["executing"]]
        table.add_row(row["task_id"], row["name"], row["status"], row["worker"], short(row["started_at"]), executed)
    Console().print(table)
    typer.echo(count_of(len(rows)))


def _print_status(told: dict[str, Any]) -> None:
    agents = Table("agent", "running", whole("task"), "phase", "last error", box=SIMPLE_HEAD)
    for row in told["agents"]:
        running = "yes" if row["is_running"] else ""
        agents.add_row(row["name"], running, row["current_task_id"], row["current_phase_message"], row["last_error"])
    windows = Table("window", "succeeded", "failed", "revoked", "success rate", box=SIMPLE_HEAD)
    for row in told["rates"]:
        rate = "" if row["success_rate"] is None else f"{row['success_rate']:.1%}"
        windows.add_row(row["window"], str(row["succeeded"]), str(row["failed"]), str(row["revoked"]), rate)
    Console().print(agents, windows)
    typer.echo("open: " + (", ".join(f"{count} {name}" for name, count in sorted(told["open"].items())) or "none"))


def _things(found: Sequence[object]) -> str:
    return "1 thing is" if len(found) == 1 else f"{len(found)} things are"
