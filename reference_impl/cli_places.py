"""Where commands look: the registry's database, the application, and its settings; what cannot be had is one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from celery import Celery
from celery.app.utils import find_app
from psycopg.errors import UndefinedTable
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from reference_impl.cli_tasks import EXIT_UNREACHABLE, EXIT_USAGE
from reference_impl.connections import open_engine
from reference_impl.settings import Settings, load_settings

App = Annotated[
    str, typer.Option("--app", "-A", envvar="CELERY_APP", help="The Celery application, as in `celery -A`.")
]


@contextmanager
def database(settings: Settings, pool_size: int = 1) -> Iterator[Engine]:
    """The registry's; what fails there ends the command."""
    engine = open_engine(settings, pool_size=pool_size)
    try:
        yield engine
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()
        typer.echo(f"the registry at {engine.url.render_as_string(hide_password=True)} failed: {cause[0]}", err=True)
        if isinstance(getattr(error, "orig", None), UndefinedTable):
            typer.echo("its tables are missing: run `celery-tracker migrate` first", err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from error
    finally:
        engine.dispose()


def application(name: str) -> Celery:
    """The one of this name; ends the command where there is none."""
    try:
        return find_app(name)
    except (ImportError, AttributeError, ValueError) as error:
        typer.echo(f"--app {name!r}: cannot be loaded: {type(error).__name__}: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from error


def settings_of(app: Celery | None) -> Settings:
    """Those by which the application was installed, or would be."""
    installed: Settings | None = getattr(app, "tracking_settings", None)
    return installed or load_settings()


def print_json(value: object) -> None:
    """As JSON; what has no form of its own is told as text."""
    typer.echo(json.dumps(value, default=str, indent=2))
