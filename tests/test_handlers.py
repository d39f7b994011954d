"""What the handlers of Celery's signals make of them, on a real Postgres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context
from sqlalchemy import Engine, text

from harness._embedded_servers import free_port
from reference_impl.settings import load_settings
from reference_impl.signals import ANNOUNCED_HEADER, Handlers
from reference_impl.stored_results import Kept

MakeHandlers = Callable[..., Handlers]


@pytest.fixture
def handlers(registry_database: str, tmp_path: Path) -> MakeHandlers:
    """Makes those of an application, which no signal reaches."""

    def make(url: str = registry_database, **options: Any) -> Handlers:
        app = Celery("handled", broker="memory://", set_as_current=False, **options)
        return Handlers(app, load_settings(database_url=url, spool_directory=tmp_path / "spool"))

    return make


def publish(told: Handlers, task_id: str) -> dict[str, Any]:
    """What Celery signals around a publication; gives the message's headers."""
    headers: dict[str, Any] = {"id": task_id, "task": "mail.send", "retries": 0, "eta": None}
    told._published(headers=headers, body=(["ann"], {}, {}))
    told._publication_sent(headers=headers)
    return headers


def test_who_has_published_finds_the_record(handlers: MakeHandlers, engine: Engine) -> None:
    """The record is there when Celery has published the task, and its message says that it was sent ahead."""
    told = handlers()
    seen = []
    for task_id in ("first", "second"):
        headers = publish(told, task_id)
        with engine.connect() as connection:
            status = text("SELECT status FROM celery_task_registry WHERE task_id = :task_id")
            seen.append((headers[ANNOUNCED_HEADER], connection.execute(status, {"task_id": task_id}).scalar()))

    assert seen == [(True, "PENDING")] * 2


def test_without_the_database_nothing_is_announced(handlers: MakeHandlers) -> None:
    """A worker has no reason to wait for a publication that its publisher could only put on disk."""
    told = handlers(f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere")
    publish(told, "first")

    assert ANNOUNCED_HEADER not in publish(told, "second")


@pytest.mark.parametrize(
    ("backend", "kept", "stored"),
    [
        ("redis://127.0.0.1/0", Kept(2, "digest"), True),
        ("redis://127.0.0.1/0", Kept(2, "digest", told=False), False),
        ("redis://127.0.0.1/0", None, False),
        ("rpc://", Kept(2, "digest"), False),
        ("disabled://", Kept(2, "digest"), False),
    ],
)
def test_only_an_end_that_others_can_look_up_need_not_be_waited_for(
    handlers: MakeHandlers, backend: str, kept: Kept | None, *, stored: bool
) -> None:
    """A result that is stored where a sweep can read it; not one that is kept nowhere, or for its caller alone."""
    told = handlers(backend=backend)

    assert told._is_stored(Context(tracking_kept=kept)) is stored
