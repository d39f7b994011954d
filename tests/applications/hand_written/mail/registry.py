"""The mailer's registry: a row for each task, written by signal handlers, swept when a worker starts."""

import json
import logging
import os
import socket
from datetime import datetime

import psycopg
from celery import signals

from mail.celery import app

logger = logging.getLogger(__name__)
URL = os.environ.get("MAIL_DATABASE_URL", "postgresql://mail@db.mail.example/mail")

TABLE = """
CREATE TABLE IF NOT EXISTS mail_job (
    id text PRIMARY KEY,
    task text,
    args text,
    kwargs text,
    state text NOT NULL DEFAULT 'waiting',
    node text,
    result text,
    error_type text,
    error text,
    queued_at timestamp,
    begun_at timestamp,
    done_at timestamp
)
"""


def execute(statement: str, *values: object) -> list[tuple]:
    """One statement on a connection of its own."""
    with psycopg.connect(URL, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


@signals.before_task_publish.connect
def queued(headers: dict, body: tuple, **_: object) -> None:
    """A task was published."""
    execute(
        "INSERT INTO mail_job (id, task, args, kwargs, queued_at) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        headers["id"],
        headers["task"],
        json.dumps(body[0]),
        json.dumps(body[1]),
        datetime.now(),
    )


@signals.task_prerun.connect
def begun(task_id: str, task: object, **_: object) -> None:
    """A worker executes it."""
    execute(
        "UPDATE mail_job SET state = 'running', node = %s, begun_at = %s WHERE id = %s",
        socket.gethostname(),
        datetime.now(),
        task_id,
    )


@signals.task_success.connect
def done(sender: object, result: object, **_: object) -> None:
    """It returned."""
    ended(sender.request.id, "done", result=json.dumps(result, default=str))


@signals.task_failure.connect
def failed(task_id: str, exception: BaseException, **_: object) -> None:
    """It raised, or its process died."""
    ended(task_id, "failed", error_type=type(exception).__name__, error=str(exception))


@signals.task_retry.connect
def again(request: object, reason: object, **_: object) -> None:
    """It will be tried again."""
    execute("UPDATE mail_job SET state = 'again', error = %s WHERE id = %s", str(reason), request.id)


@signals.task_revoked.connect
def dropped(request: object, **_: object) -> None:
    """Somebody revoked it."""
    ended(request.id, "dropped", error="revoked")


def ended(task_id: str, state: str, result: str | None = None, error_type: str = "", error: str = "") -> None:
    """However it ended."""
    execute(
        "UPDATE mail_job SET state = %s, result = %s, error_type = %s, error = %s, done_at = %s WHERE id = %s",
        state,
        result,
        error_type,
        error,
        datetime.now(),
        task_id,
    )


@signals.worker_ready.connect
def sweep(**_: object) -> None:
    """Whatever no worker executes has died with its worker."""
    active = app.control.inspect(timeout=0.5).active() or {}
    alive = [request["id"] for requests in active.values() for request in requests]
    for (task_id,) in execute("SELECT id FROM mail_job WHERE state = 'running' AND NOT id = ANY(%s)", alive):
        logger.warning("job %s was lost", task_id)
        app.control.revoke(task_id)
        ended(task_id, "dropped", error="its worker died")
