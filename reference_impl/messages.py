"""Original messages: kept as a worker received them, and sent again byte for byte.

What the record keeps of the arguments is for reading: bounded, masked, and made to fit JSON. A task can be run
again only from its message, which is kept apart, and only for tasks whose policy is `requeue` or `report`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

from celery import Celery
from sqlalchemy import Connection, Table, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from reference_impl.lifecycle import ENDED
from reference_impl.models import StoredMessage, TaskRecord

# What Celery's worker adds to the headers when it takes a message, and what no longer holds of the received body.
_NOT_OF_THE_SENDER = {"properties", "reply_to", "correlation_id", "hostname", "delivery_info", "compression"}
_PROPERTIES = ("correlation_id", "reply_to", "priority")
_PATIENCE = {"max_retries": 1, "interval_start": 0.0, "interval_max": 0.1}

_MESSAGES = cast("Table", StoredMessage.__table__)
_TASKS = cast("Table", TaskRecord.__table__)


LOSSES = frozenset({"worker-lost", "lost-too-often", "redelivery-overdue", "lost", "cancelled"})
"""The reasons of ends that a task did not come to by itself: somebody may want it run again."""


class NotKeptError(Exception):
    """There is no message to send again; the text says why."""


class NotSentError(Exception):
    """The broker did not take the message, or did not say so; it may have been sent or not."""


@dataclass(frozen=True)
class Message:
    """A message as it was received; `body` is None where it was over the limit."""

    size_bytes: int
    body: bytes | None
    envelope: Mapping[str, Any]

    @classmethod
    def received(cls, message: Any, *, limit_bytes: int) -> Self:
        """From kombu's. Headers that are not JSON are left out: they were added on the way."""
        body = message.body
        data = body.encode() if isinstance(body, str) else bytes(body)
        headers = {name: value for name, value in message.headers.items() if name not in _NOT_OF_THE_SENDER}
        told = message.delivery_info
        envelope = {
            "headers": {name: value for name, value in headers.items() if _is_json(value)},
            "properties": {name: message.properties[name] for name in _PROPERTIES if message.properties.get(name)},
            "content_type": message.content_type,
            "content_encoding": message.content_encoding,
            "exchange": told.get("exchange") or "",
            "routing_key": told.get("routing_key"),
        }
        return cls(len(data), data if len(data) <= limit_bytes else None, envelope)


def keep(connection: Connection, task_id: str, message: Message) -> None:
    """Keep it as part of the caller's transaction; the last one of a task counts, as a retry changes it."""
    values = {"size_bytes": message.size_bytes, "body": message.body, "envelope": dict(message.envelope)}
    kept = upsert(_MESSAGES).values(task_id=task_id, **values)
    connection.execute(kept.on_conflict_do_update(index_elements=["task_id"], set_=values))


def find(connection: Connection, task_id: str) -> Message:
    """The message of a task. Raises NotKeptError."""
    row = connection.execute(select(_MESSAGES).where(_MESSAGES.c.task_id == task_id)).one_or_none()
    if row is None:
        raise NotKeptError("no message of it was kept: its policy was not `requeue` or `report` when it was received")
    if row.body is None:
        raise NotKeptError(f"its message of {row.size_bytes} bytes is over stored_message_bytes, and was not kept")
    return Message(row.size_bytes, bytes(row.body), row.envelope)


def send(app: Celery, message: Message) -> None:
    """Send it again, under its task id. Raises NotSentError."""
    envelope = message.envelope
    try:
        with app.producer_or_acquire() as producer:
            producer.publish(
                message.body,
                exchange=envelope["exchange"],
                routing_key=envelope["routing_key"],
                content_type=envelope["content_type"],
                content_encoding=envelope["content_encoding"],
                headers=dict(envelope["headers"]),
                delivery_mode=2,
                retry=True,
                retry_policy=_PATIENCE,
                **envelope["properties"],
            )
    except Exception as error:
        raise NotSentError(f"its message was not sent: {type(error).__name__}: {error}") from error


def forget_ended(connection: Connection) -> None:
    """Nobody sends the message of a task again that has come to its own end."""
    by_itself = func.coalesce(_TASKS.c.reason, "").not_in(sorted(LOSSES))
    over = select(_TASKS.c.task_id).where(
        _TASKS.c.task_id == _MESSAGES.c.task_id, _TASKS.c.status.in_(sorted(ENDED)), by_itself
    )
    connection.execute(delete(_MESSAGES).where(over.exists()))


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
