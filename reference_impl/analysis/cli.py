"""`tasks analyse`: begin an analysis through the API, and wait for what comes of it where that is asked."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from reference_impl.analysis.engine import NotAnalysedError, request_of
from reference_impl.cli_tasks import DEFAULT_URL, EXIT_FAILED, EXIT_USAGE, WAIT_S, AsJson, Timeout, Url, connected

analysing = typer.Typer()


@analysing.command("analyse")
def analyse_target(
    target: Annotated[str, typer.Argument(help="What is analysed.")],
    url: Url = DEFAULT_URL,
    analysis_type: Annotated[str, typer.Option("--type", help="The kind of analysis.")] = "full",
    app_number: Annotated[int, typer.Option("--app-number", help="Which application of the target.")] = 1,
    service: Annotated[list[str] | None, typer.Option(help="Only this analyser; may be repeated.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, kept with the result; may be repeated.")
    ] = None,
    persist: Annotated[bool, typer.Option("--persist/--no-persist", help="Whether the result is kept.")] = True,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end, and print what came of it.")] = False,
    timeout: Timeout = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Begin an analysis, and print its task's id."""
    named = [each.partition("=") for each in metadata or []]
    if wrong := [name for name, sign, _ in named if not sign or not name]:
        typer.echo(f"--metadata {wrong[0]!r}: expected NAME=VALUE", err=True)
        raise typer.Exit(EXIT_USAGE)
    try:
        request = request_of(
            target=target,
            analysis_type=analysis_type,
            app_number=app_number,
            services=service or None,
            metadata={name: value for name, _, value in named},
            persist=persist,
        )
    except NotAnalysedError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_USAGE) from error
    with connected(url) as client:
        task_id = client.analyse(request)
        if not wait:
            typer.echo(json.dumps({"task_id": task_id}) if as_json else task_id)
            return
        status = client.wait(task_id, timeout)
        if not status.successful:
            typer.echo(f"the analysis {task_id} ended as {status.status}", err=True)
            raise typer.Exit(EXIT_FAILED)
        document = client.analysis(task_id) if persist else client.result(task_id)
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
