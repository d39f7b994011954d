"""The `celery-tracker` command: tables on a terminal, JSON with `--json`, exit codes a script can use.

Exit codes: 0 done, 1 refused, 2 the call or the settings are wrong, 3 the task is unknown, 5 the database cannot be
reached. Those of the commands that ask the API: see `cli_tasks`.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import typer
from alembic.util import CommandError
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, select

from reference_impl.analysis.cli import analysing
from reference_impl.cli_check import looking
from reference_impl.cli_places import application, database, print_json, settings_of
from reference_impl.cli_sitrep import situation
from reference_impl.cli_tasks import EXIT_UNKNOWN, EXIT_USAGE, AsJson, asking, count_of, short, whole
from reference_impl.messages import NotKeptError, NotSentError
from reference_impl.models import Attempt, AuditEntry, TaskRecord
from reference_impl.operations import NotRequeuedError, lost, requeue, workers
from reference_impl.schema import differences, downgrade
from reference_impl.schema import migrate as migrate_schema
from reference_impl.settings import ConfigurationError, load_settings
from reference_impl.status import seconds_between
from reference_impl.sweep_report import SweepReport
from reference_impl.watched_sweep import Chosen, watch_and_sweep

EXIT_REFUSED = 1

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Look into the task registry, and clean it up.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
tasks = typer.Typer(no_args_is_help=True, help="The tasks of the registry.")
cli.add_typer(tasks, name="tasks")
tasks.add_typer(asking)
tasks.add_typer(looking)
tasks.add_typer(situation)
tasks.add_typer(analysing)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"celery-tracker {version('celery-conformance')}")
        raise typer.Exit


@cli.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Of the command itself."""


@cli.command()
def migrate(
    to: Annotated[
        str, typer.Option(help="A revision: `head`, `base`, a number of steps such as `-1`, or a revision's name.")
    ] = "head",
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; say where the tables differ from this version's.")
    ] = False,
) -> None:
    """Create the registry's tables, or bring them to this version.

    A way back (`--to -1`, `--to base`) loses what only the newer tables can hold; `base` removes them all.
    """
    with database(load_settings()) as engine:
        if check:
            found = differences(engine)
            for difference in found:
                typer.echo(difference, err=True)
            if found:
                typer.echo("the tables are not those of this version: run `celery-tracker migrate`", err=True)
                raise typer.Exit(EXIT_REFUSED)
            typer.echo("the tables are those of this version")
            return
        try:
            if to == "base" or to.startswith("-"):
                downgrade(engine, to)
            else:
                migrate_schema(engine, to)
        except CommandError as error:
            typer.echo(f"--to {to!r}: {error}", err=True)
            raise typer.Exit(EXIT_USAGE) from error
    typer.echo("the registry is up to date" if to == "head" else f"the registry is at {to}")


@cli.command("api")
def serve_api(
    app: Annotated[
        str | None,
        typer.Option("--app", "-A", envvar="CELERY_APP", help="The Celery application, to cancel what its workers do."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to serve at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to serve at.")] = 8765,
) -> None:
    """Serve statuses and results over HTTP; its setting `api_tokens` says to whom."""
    try:
        from reference_impl.api import create_api, serve  # noqa: PLC0415 - an extra, and no other command needs it
    except ImportError as error:
        typer.echo(f"{error}: install celery-conformance[api]", err=True)
        raise typer.Exit(EXIT_USAGE) from error
    celery_app = application(app) if app else None
    settings = settings_of(celery_app)
    if not settings.api_tokens:
        typer.echo(
            'nobody could use the API: set CELERY_TRACKING_API_TOKENS=\'[{"token": "..."}]\', or api_tokens in the '
            "configuration file; `python -c 'import secrets; print(secrets.token_urlsafe())'` makes a token",
            err=True,
        )
        raise typer.Exit(EXIT_USAGE)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("reference_impl").setLevel(logging.INFO)
    serve(create_api(settings, celery_app), host, port)


@tasks.command("show")
def show_task(task_id: str, as_json: AsJson = False) -> None:
    """One task's record, its attempts, and its audit trail."""
    with database(load_settings()) as engine, engine.connect() as connection:
        record = (
            connection.execute(select(TaskRecord.__table__).where(TaskRecord.task_id == task_id)).mappings().first()
        )
        if record is None:
            typer.echo(f"no task {task_id!r} in the registry", err=True)
            raise typer.Exit(EXIT_UNKNOWN)
        told = dict(record) | {
            "queue_seconds": seconds_between(record["queued_at"], record["started_at"]),
            "run_seconds": seconds_between(record["started_at"], record["completed_at"]),
        }
        history = _history_of(connection, task_id)
    if as_json:
        print_json(told | history)
        return
    table = Table(show_header=False)
    for name, value in told.items():
        if value is not None:
            table.add_row(name, str(value))
    tries = Table("started", "ended", "worker", "pid", "lost", title="attempts")
    for attempt in history["attempt_history"]:
        lost_too = "yes" if attempt["lost"] else ""
        began, ended = short(attempt["started_at"]), short(attempt["ended_at"])
        tries.add_row(began, ended, attempt["worker_id"] or "", str(attempt["worker_pid"] or ""), lost_too)
    trail = Table("at", "from", "to", "who", "why", title="audit")
    for entry in history["audit"]:
        to = entry["to_status"] + (" (refused)" if entry["refused"] else "")
        trail.add_row(short(entry["at"]), entry["from_status"] or "", to, entry["who"], entry["why"])
    Console().print(table, tries, trail)


@tasks.command("workers")
def list_workers(
    app: Annotated[
        str | None, typer.Option("--app", "-A", envvar="CELERY_APP", help="Ask through its broker who answers, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The workers that hold a lease or have attempts open: lease, liveness, and why."""
    celery_app = application(app) if app else None
    settings = settings_of(celery_app)
    with database(settings) as engine:
        states = workers(engine, settings, celery_app)
    if as_json:
        print_json([{**state.row, "liveness": state.liveness, "why": state.why} for state in states])
        return
    table = Table("node", "incarnation", "pid", "since", "lease left", "open", "liveness", "why")
    for state in states:
        row = state.row
        left, open_attempts = f"{row['lease_left_s']:.1f} s", str(row["open_attempts"])
        since = short(row["started_at"])
        table.add_row(
            row["node"], row["incarnation_id"], str(row["pid"]), since, left, open_attempts, state.liveness, state.why
        )
    Console().print(table)


@tasks.command("lost")
def list_lost(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50, as_json: AsJson = False
) -> None:
    """Tasks that ended because their worker, or their message, was lost; the newest first."""
    with database(load_settings()) as engine:
        rows = lost(engine, limit)
    if as_json:
        print_json(rows)
        return
    table = Table(whole("task"), "name", "status", "reason", "worker", "completed", "why")
    for row in rows:
        name, worker, why = row["task_name"] or "", row["worker_id"] or "", row["error_message"] or ""
        table.add_row(row["task_id"], name, row["status"], row["reason"], worker, short(row["completed_at"]), why)
    Console().print(table)
    typer.echo(count_of(len(rows)) + (f", the newest {limit}" if len(rows) == limit else ""))


@tasks.command("requeue")
def requeue_task(
    task_id: str,
    app: Annotated[
        str, typer.Option("--app", "-A", envvar="CELERY_APP", help="The Celery application, as in `celery -A`.")
    ],
) -> None:
    """Send a lost task's message again, under its id, where it was kept (policies `requeue` and `report`)."""
    celery_app = application(app)
    with database(settings_of(celery_app)) as engine:
        try:
            requeue(engine, celery_app, task_id, who="cli")
        except (NotRequeuedError, NotKeptError, NotSentError) as error:
            typer.echo(f"{task_id} is not requeued: {error}", err=True)
            raise typer.Exit(EXIT_REFUSED) from error
    typer.echo(f"{task_id} is requeued")


def _history_of(connection: Connection, task_id: str) -> dict[str, list[dict[str, Any]]]:
    attempts = select(Attempt.__table__).where(Attempt.task_id == task_id).order_by(Attempt.started_at)
    audit = select(AuditEntry.__table__).where(AuditEntry.task_id == task_id).order_by(AuditEntry.entry_id)
    return {
        "attempt_history": [dict(row) for row in connection.execute(attempts).mappings()],
        "audit": [dict(row) for row in connection.execute(audit).mappings()],
    }


@tasks.command("cleanup")
def clean_up(
    app: Annotated[
        str, typer.Option("--app", "-A", envvar="CELERY_APP", help="The Celery application, as in `celery -A`.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace the proof that the broker works, and only that: leases still count."),
    ] = False,
    revoke_stuck: Annotated[
        bool, typer.Option("--revoke-stuck", help="Have living workers terminate tasks without progress, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sweep once: close the tasks of workers that are proved dead.

    A worker is dead when its lease has run out and it is silent through a broker that is shown to work. When the
    sweeps have not watched the database for a full lease, this command watches for the rest of it first.
    """
    celery_app = application(app)
    settings = settings_of(celery_app)
    with database(settings, pool_size=2) as engine:
        chosen = Chosen(force=force, dry_run=dry_run, revoke_stuck=revoke_stuck)
        report = watch_and_sweep(engine, celery_app, settings, chosen, partial(typer.echo, err=True))
    if as_json:
        findings = [{k: v for k, v in vars(finding).items() if k != "waiters"} for finding in report.findings]
        told = vars(report) | {"findings": findings, "closed": report.closed, "dry_run": dry_run}
        print_json(told)
    else:
        _print_report(report)
    if report.skipped:
        typer.echo(f"refused: {report.skipped}; nothing was changed", err=True)
        raise typer.Exit(EXIT_REFUSED)
    if report.broker_works is False and not force:
        typer.echo(
            f"refused: {report.broker_why}. Without it, a worker's silence proves nothing, and nothing was changed. "
            "Mend the broker, or give --force to replace this proof by your own knowledge",
            err=True,
        )
        raise typer.Exit(EXIT_REFUSED)


def main() -> None:
    """The console script: errors that a user can mend end in one line, never in a traceback."""
    try:
        cli()
    except ConfigurationError as error:
        typer.echo(str(error), err=True)
        sys.exit(EXIT_USAGE)


def _print_report(report: SweepReport) -> None:
    table = Table(whole("task"), "name", "worker", "liveness", "action", "why")
    for finding in report.findings:
        table.add_row(
            finding.task_id,
            finding.task_name or "",
            finding.worker or "",
            finding.liveness,
            finding.action,
            finding.why,
        )
    if report.findings:
        Console().print(table)
    typer.echo(f"{count_of(len(report.findings))} looked at, {report.closed} closed; broker: {report.broker_why}")


if __name__ == "__main__":
    main()
