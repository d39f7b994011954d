"""The commands under `tasks` that ask the API: status, result, waiting, list, cancel.

The names they print are the API's. A table or a sentence goes to a terminal, JSON with `--json`; a result is printed
as JSON alone, so that it can be piped on. Ctrl-C ends the watching, and leaves the task alone.

Exit codes: 0 success, 1 the task failed, was revoked, or cannot be cancelled, 2 usage, 3 unknown, 4 expired,
5 the API cannot be reached, 124 the time ran out, 130 Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from reference_impl.client import (
    ExpiredError,
    FailedTaskError,
    NotAllowedError,
    NotReadyError,
    RefusedError,
    TrackerClient,
    UnknownTaskError,
    UnreachableError,
)
from reference_impl.lifecycle import Status
from reference_impl.status import StatusDocument

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNKNOWN = 3
EXIT_EXPIRED = 4
EXIT_UNREACHABLE = 5
EXIT_TIMED_OUT = 124
EXIT_INTERRUPTED = 130

WAIT_S = 300.0

asking = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Url = Annotated[str, typer.Option("--url", envvar="CELERY_TRACKER_URL", help="Where the API is.")]
DEFAULT_URL = "http://127.0.0.1:8765"
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="How many seconds to wait at most.")]
TOKEN_VARIABLE = "CELERY_TRACKER_TOKEN"  # noqa: S105 - the name of a variable


@asking.command("list")
def list_tasks(
    url: Url = DEFAULT_URL,
    status: Annotated[list[Status] | None, typer.Option(help="Only tasks in this status; may be repeated.")] = None,
    name: Annotated[str | None, typer.Option(help="Only tasks of this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest tasks first."""
    with connected(url) as client:
        found = list(client.tasks(status=[*status] if status else None, name=name, limit=limit))
    if as_json:
        typer.echo(json.dumps([document.model_dump(mode="json") for document in found], indent=2))
        return
    named, worker = (Column(each, overflow="fold", min_width=10) for each in ("name", "worker"))
    table = Table(
        whole("task_id"), named, whole("status"), worker, whole("queued_at"), whole("seconds"), box=SIMPLE_HEAD
    )
    for document in found:
        took = "" if document.run_seconds is None else f"{document.run_seconds:.3f}"
        table.add_row(
            document.task_id, document.name, document.status, document.worker, short(document.queued_at)[5:], took
        )
    Console().print(table)
    typer.echo(count_of(len(found)) + (f", the newest {limit}" if len(found) == limit else ""))


@asking.command("get")
def get_task(task_id: str, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """One task's status."""
    with connected(url) as client:
        _print_status(client.status(task_id), as_json=as_json)


@asking.command("wait")
def wait_for_task(task_id: str, url: Url = DEFAULT_URL, timeout: Timeout = WAIT_S, as_json: AsJson = False) -> None:
    """Wait until the task has ended, and print its status."""
    with connected(url) as client:
        status = _watched(client, task_id, timeout)
    _print_status(status, as_json=as_json)
    if not status.successful:
        raise typer.Exit(EXIT_FAILED)


@asking.command("result")
def print_result(
    task_id: str,
    url: Url = DEFAULT_URL,
    wait: Annotated[bool, typer.Option("--wait", help=f"Wait for it, {WAIT_S:g} s at most.")] = False,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, help="Wait for it, for this many seconds at most.")
    ] = None,
) -> None:
    """Print what the task returned, as JSON."""
    patience_s = timeout if timeout is not None else WAIT_S if wait else 0.0
    with connected(url) as client:
        if patience_s:
            _watched(client, task_id, patience_s)
        text = client.result_text(task_id)
    sys.stdout.buffer.write(text + b"\n")


@asking.command("cancel")
def cancel_task(
    task_id: str,
    url: Url = DEFAULT_URL,
    terminate: Annotated[bool, typer.Option("--terminate", help="End it where it is executed, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Revoke a task that has not begun, or, with `--terminate`, end one that has."""
    with connected(url) as client:
        _print_status(client.cancel(task_id, terminate=terminate), as_json=as_json)


def whole(name: str) -> Column:
    """A column that is not shortened while others can be: an id is there to be copied."""
    return Column(name, no_wrap=True, overflow="fold")


def short(moment: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") + "Z" if moment else ""


def count_of(tasks: int) -> str:
    """How many there are, in words."""
    return "1 task" if tasks == 1 else f"{tasks} tasks"


@contextmanager
def connected(url: str) -> Iterator[TrackerClient]:
    """A client, whose errors become one line and an exit code."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        typer.echo(f"set {TOKEN_VARIABLE} to a token that the API knows (its setting api_tokens)", err=True)
        raise typer.Exit(EXIT_USAGE)
    try:
        with TrackerClient(url, token) as client:
            yield client
    except KeyboardInterrupt as error:
        _end("interrupted; the task is left alone, and it goes on", EXIT_INTERRUPTED, error)
    except NotReadyError as error:
        _end(f"{error}; it goes on: ask again, or give a longer --timeout", EXIT_TIMED_OUT, error)
    except UnknownTaskError as error:
        _end(str(error), EXIT_UNKNOWN, error)
    except ExpiredError as error:
        _end(
            f"{error}: it ended at {error.completed_at}, its result expired at {error.expired_at}", EXIT_EXPIRED, error
        )
    except FailedTaskError as error:
        said = f"{error.error.type}: {error.error.message}" if error.error.type else error.error.message
        _end(f"{error} ({error.error.code}): {said}", EXIT_FAILED, error)
    except NotAllowedError as error:
        _end(f"{error}: see {TOKEN_VARIABLE}", EXIT_USAGE, error)
    except RefusedError as error:
        _end(str(error), EXIT_FAILED, error)
    except UnreachableError as error:
        _end(
            f"{error}; is `celery-tracker api` running there? --url, or CELERY_TRACKER_URL, says where to look",
            EXIT_UNREACHABLE,
            error,
        )


def _end(said: str, exit_code: int, cause: BaseException) -> None:
    typer.echo(said, err=True)
    raise typer.Exit(exit_code) from cause


def _watched(client: TrackerClient, task_id: str, timeout_s: float) -> StatusDocument:
    """The end of a task, with a bar on a terminal, and a line for each change elsewhere, both on standard error."""
    console = Console(stderr=True)
    told = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("[dim]Ctrl-C ends the waiting, not the task"),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with told as progress:
        bar = progress.add_task(task_id, total=None)
        for status in client.follow(task_id, timeout_s):
            done = status.progress or {}
            said = " ".join(str(part) for part in (status.status, done.get("message")) if part)
            progress.update(bar, description=said, completed=done.get("current") or 0, total=done.get("total"))
            if not console.is_terminal:
                share = f" {done['percent']:g} %" if "percent" in done else ""
                typer.echo(f"{task_id} {said}{share}", err=True)
    return status


def _print_status(status: StatusDocument, *, as_json: bool) -> None:
    if as_json:
        typer.echo(status.model_dump_json(indent=2))
        return
    table = Table(show_header=False)
    for name, said in _told(status).items():
        table.add_row(name, said)
    Console().print(table)


def _told(status: StatusDocument) -> dict[str, str]:
    """What is known, in words, under the API's names."""
    told: dict[str, str] = {}
    for name, value in status.model_dump(mode="json", exclude_none=True).items():
        if name == "error":
            told |= {f"error.{part}": _word(said) for part, said in value.items() if said is not None}
        else:
            told[name] = _word(value)
    return told


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
