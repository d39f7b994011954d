"""`tasks sitrep`: the situation at a glance, as the API tells it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from reference_impl.cli_tasks import DEFAULT_URL, AsJson, Url, connected, short, whole
from reference_impl.sitrep import RECENT_MAX
from reference_impl.sitrep_document import Sitrep

situation = typer.Typer()


@situation.command("sitrep")
def print_sitrep(
    url: Url = DEFAULT_URL,
    limit: Annotated[int, typer.Option(min=1, max=RECENT_MAX, help="How many recent tasks at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """How many tasks there are of which kind, and which were executed last."""
    with connected(url) as client:
        sitrep = client.sitrep(limit)
    if as_json:
        typer.echo(sitrep.model_dump_json(indent=2))
        return
    console = Console()
    console.print(_figures(sitrep))
    console.print(_recent(sitrep))
    for line in _remarks(sitrep):
        typer.echo(line)


def _figures(sitrep: Sitrep) -> Table:
    table = Table("figure", Column("tasks", justify="right"), "from", "age", box=SIMPLE_HEAD)
    for name, value in sitrep.task_metrics:
        origin = sitrep.origins.get(name)
        if name == "success_rate":
            told = "none has finished" if value is None else f"{value:.1%}"
        else:
            told = "unknown" if value is None else str(value)
        age = "" if origin is None or origin.age_seconds is None else f"{origin.age_seconds:.1f} s"
        table.add_row(name.removesuffix("_tasks").replace("_", " "), told, origin.source if origin else "", age)
    return table


def _recent(sitrep: Sitrep) -> Table:
    wide = Column("task", overflow="fold", min_width=20)
    table = Table(whole("task_id"), wide, "status", whole("completed_at"), "seconds", "error", box=SIMPLE_HEAD)
    for line in sitrep.recent_tasks:
        took = "" if line.duration_seconds is None else f"{line.duration_seconds:.3f}"
        table.add_row(
            line.task_id, line.description, line.status, short(line.completed_at)[5:], took, line.error_message
        )
    return table


def _remarks(sitrep: Sitrep) -> list[str]:
    """What somebody who reads the figures has to know."""
    sources = sitrep.sources
    told = [f"{name} did not answer: {state.why}" for name, state in sources if not state.answered]
    if sources.workers.answered and not sources.workers.workers:
        told.append("no worker answered")
    if sources.workers.silent:
        told.append(f"silent, although their leases hold: {', '.join(sources.workers.silent)}")
    if sources.results.unread:
        told.append(f"{sources.results.unread} results are not counted yet")
    if sources.results.malformed:
        told.append(f"{sources.results.malformed} entries of the result backend are no results")
    return told
