"""Deliveries that were lost: a record waits, and no queue and no worker has its message.

A broker that loses a message tells nobody. So a sweep looks for the messages of tasks that have waited for long, in
their queue, among what is delivered and not acknowledged, and at every worker that holds its lease. What is found
nowhere, twice, one sweep apart, is lost: a message may be on its way between two of these places during one look.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu.exceptions import ChannelError
from kombu.transport.redis import Channel as RedisChannel
from sqlalchemy import Connection, Row, text

from reference_impl.registry import AWAITING_REDELIVERY
from reference_impl.rollcall import bounded_connection, call_the_roll
from reference_impl.settings import Settings

MESSAGES_MAX = 1000
"""In a queue with more messages than that, and among more that are delivered, nothing is looked for."""
_TASKS_MAX = 100

_WAITING = text("""
    WITH RECURSIVE waiting AS (
        SELECT task_id, task_name, status, detail, queue, coalesce(eta, queued_at) AS since
        FROM celery_task_registry WHERE status IN ('PENDING', 'RETRY')
    ), queues AS (
        SELECT (SELECT queue FROM waiting WHERE queue IS NOT NULL ORDER BY queue LIMIT 1) AS name
        UNION ALL
        SELECT (SELECT queue FROM waiting WHERE queue > queues.name ORDER BY queue LIMIT 1)
        FROM queues WHERE queues.name IS NOT NULL
    )
    SELECT oldest.task_id, oldest.task_name, oldest.queue
    FROM queues CROSS JOIN LATERAL (
        SELECT * FROM waiting
        WHERE queue = queues.name AND since < clock_timestamp() - make_interval(secs => :patience_s)
          AND detail IS DISTINCT FROM :awaiting
        ORDER BY since LIMIT :tasks_max
    ) oldest
""")

_HOLDERS = text("""
    SELECT incarnation_id::text FROM celery_worker_incarnation
    WHERE renewed_at + make_interval(secs => lease_s) >= clock_timestamp()
""")


@dataclass
class _Look:
    """What one look at the broker has not found, or why it can say nothing."""

    missing: set[str] = field(default_factory=set)
    failure: Exception | None = None


def find_missing(connection: Connection, app: Celery, settings: Settings) -> list[Row[Any]]:
    """Tasks that wait for long, and whose message is nowhere at this moment: task_id, task_name, queue.

    Empty where the broker, or any worker that holds its lease, does not answer in time: then nothing is known.
    Raises SQLAlchemy's errors.
    """
    patience_s = max(settings.lease_s, settings.minimum_age_s) - settings.sweep_interval_s
    values = {"patience_s": patience_s, "awaiting": AWAITING_REDELIVERY, "tasks_max": _TASKS_MAX}
    waiting = {row.task_id: row for row in connection.execute(_WAITING, values)}
    holders = set(connection.execute(_HOLDERS).scalars()) if waiting else set()
    connection.commit()
    if not waiting:
        return []
    missing = _not_in_the_broker(app, waiting.values(), settings.ping_timeout_s)
    if not missing:
        return []
    call = call_the_roll(app, settings.ping_timeout_s, holders, sought=missing)
    if not call.broker_works or not holders <= set(call.answers.values()):
        return []
    return [waiting[task_id] for task_id in sorted(missing - call.held)]


def _not_in_the_broker(app: Celery, waiting: Iterable[Row[Any]], timeout_s: float) -> set[str]:
    """The ids whose messages the broker does not have; in a thread of its own, as the roll call is."""
    look = _Look()
    by_queue: dict[str, set[str]] = {}
    for row in waiting:
        by_queue.setdefault(row.queue, set()).add(row.task_id)

    def attempt() -> None:
        try:
            with bounded_connection(app, timeout_s) as connection:
                missing: set[str] = set()
                for queue, ids in by_queue.items():
                    missing |= _not_in_queue(connection.channel(), queue, ids)
                look.missing = _not_delivered(connection.channel(), missing) if missing else missing
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known
            look.failure = error

    thread = threading.Thread(target=attempt, name="celery-tracker deliveries", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return set() if thread.is_alive() or look.failure is not None else set(look.missing)


def _not_in_queue(channel: Any, queue: str, ids: Collection[str]) -> set[str]:
    """Of these ids, those whose messages are not in the queue; none where that cannot be told."""
    try:
        count = channel.queue_declare(queue, passive=True).message_count
    except ChannelError as error:
        if str(error.reply_code) != "404":
            raise
        count = 0  # there is no such queue; in Redis an empty one is none
    if not count:
        return set(ids)
    if not isinstance(channel, RedisChannel) or count > MESSAGES_MAX:
        return set()
    by_priority: Callable[[str, int], str] = channel._q_for_pri  # noqa: SLF001 - kombu says it nowhere else
    keys = [by_priority(queue, step) for step in channel.priority_steps]
    return _not_among(ids, (text for key in keys for text in channel.client.lrange(key, 0, -1)))


def _not_delivered(channel: Any, ids: Collection[str]) -> set[str]:
    """Of these ids, those that no consumer has to acknowledge, as far as the broker can tell: Redis can."""
    if not isinstance(channel, RedisChannel):
        return set(ids)
    if channel.client.hlen(channel.unacked_key) > MESSAGES_MAX:
        return set()
    return _not_among(ids, channel.client.hvals(channel.unacked_key))


def _not_among(ids: Collection[str], messages: Iterable[bytes]) -> set[str]:
    left = set(ids)
    for message in messages:
        left -= {task_id for task_id in left if task_id.encode() in message}
    return left
