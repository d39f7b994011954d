"""Deliveries that were lost: a record waits, and no queue and no worker has its message.

A broker that loses a message tells nobody. So a sweep looks for the messages of tasks that have waited for long, in
their queue, among what is delivered and not acknowledged, and at every worker that holds its lease. What is found
nowhere, twice, one sweep apart, is lost: a message may be on its way between two of these places during one look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import ChannelError
from sqlalchemy import Connection, Row, text

from reference_impl.bounded import within
from reference_impl.columns import AWAITING_REDELIVERY
from reference_impl.rollcall import RollCall, bounded_connection
from reference_impl.settings import Settings
from reference_impl.spool import is_behind

MESSAGES_MAX = 1000
"""In a queue with more messages than that, and among more that are delivered, nothing is looked for."""
_TASKS_MAX = 100

_WAITING = text("""
    WITH RECURSIVE waiting AS NOT MATERIALIZED (
        SELECT task_id, task_name, detail, attempts, queue, queued_at, coalesce(eta, queued_at) AS since
        FROM celery_task_registry WHERE status IN ('PENDING', 'RETRY')
    ), queues AS (
        SELECT (SELECT queue FROM waiting WHERE queue IS NOT NULL ORDER BY queue LIMIT 1) AS name
        UNION ALL
        SELECT (SELECT queue FROM waiting WHERE queue > queues.name ORDER BY queue LIMIT 1)
        FROM queues WHERE queues.name IS NOT NULL
    )
    SELECT oldest.task_id, oldest.task_name, oldest.queue, oldest.attempts, oldest.queued_at
    FROM queues CROSS JOIN LATERAL (
        SELECT * FROM waiting
        WHERE queue = queues.name AND since < clock_timestamp() - make_interval(secs => :patience_s)
          AND detail IS DISTINCT FROM :awaiting
        ORDER BY since LIMIT :tasks_max
    ) oldest
""")

_WORKERS = text("""
    SELECT incarnation_id::text, renewed_at + make_interval(secs => lease_s) >= clock_timestamp() AS holds
    FROM celery_worker_incarnation WHERE renewed_at >= clock_timestamp() - interval '1 hour'
""")


@dataclass(frozen=True)
class Sought:
    """Tasks that wait for long and whose message the broker does not have, and who may have it instead.

    `workers` are incarnations, with whether each holds its lease: one whose lease has run out lately is asked too,
    and need not answer.
    """

    tasks: Mapping[str, Row[Any]] = field(default_factory=dict)
    workers: Mapping[str, bool] = field(default_factory=dict)

    def missing(self, call: RollCall) -> list[Row[Any]]:
        """Those whose message no worker has, by a roll call that has asked for them.

        None where the broker, or any worker that holds its lease, did not answer, or one knows of reports that are not
        written: then nothing is known.
        """
        silent = any(holds and one not in call.incarnations for one, holds in self.workers.items())
        if not call.broker_works or call.behind or silent:
            return []
        return [self.tasks[task_id] for task_id in sorted(self.tasks.keys() - call.held)]


def look_for_messages(connection: Connection, app: Celery, settings: Settings) -> Sought:
    """Tasks that wait for long, and whose message the broker does not have at this moment.

    None where the broker does not answer within `ping_timeout_s`, or where reports are still kept on disk. Raises
    SQLAlchemy's errors.
    """
    patience_s = max(settings.lease_s, settings.minimum_age_s) - settings.sweep_interval_s
    values = {"patience_s": patience_s, "awaiting": AWAITING_REDELIVERY, "tasks_max": _TASKS_MAX}
    waiting = {row.task_id: row for row in connection.execute(_WAITING, values)}
    workers = {row.incarnation_id: row.holds for row in connection.execute(_WORKERS)} if waiting else {}
    connection.commit()
    if not waiting or is_behind(settings):
        return Sought()
    gone = _not_in_the_broker(app, waiting.values(), settings.ping_timeout_s)
    return Sought({task_id: waiting[task_id] for task_id in gone}, workers) if gone else Sought()


def _not_in_the_broker(app: Celery, waiting: Iterable[Row[Any]], timeout_s: float) -> set[str]:
    """The ids whose messages the broker does not have; none where it cannot be asked."""
    by_queue: dict[str, set[str]] = {}
    for row in waiting:
        by_queue.setdefault(row.queue, set()).add(row.task_id)

    def look() -> set[str]:
        with bounded_connection(app, timeout_s) as connection:
            look_into = _LOOK.get(connection.transport.driver_type)
            return look_into(connection.channel, by_queue) if look_into is not None else set()

    try:
        return within(timeout_s, "deliveries", look)
    except Exception:  # noqa: BLE001 - whatever it is, nothing is known
        return set()


def _not_in_redis(open_channel: Callable[[], Any], by_queue: Mapping[str, set[str]]) -> set[str]:
    """Of these ids, those whose messages are neither in their queues nor delivered and not acknowledged."""
    channel = open_channel()
    by_priority: Callable[[str, int], str] = channel._q_for_pri  # noqa: SLF001 - kombu says it nowhere else
    prefix = getattr(channel, "global_keyprefix", None) or ""
    # Kombu's own client puts the prefix before the keys of some commands only, and not of these.
    with redis.Redis(connection_pool=channel.client.connection_pool) as client:
        delivered = prefix + channel.unacked_key
        missing = set()
        for queue, ids in by_queue.items():
            keys = [prefix + by_priority(queue, step) for step in channel.priority_steps]
            if sum(client.llen(key) for key in keys) <= MESSAGES_MAX:
                missing |= _not_among(ids, (message for key in keys for message in client.lrange(key, 0, -1)))
        if not missing or client.hlen(delivered) > MESSAGES_MAX:
            return set()
        return _not_among(missing, client.hvals(delivered))


def _not_in_amqp(open_channel: Callable[[], Any], by_queue: Mapping[str, set[str]]) -> set[str]:
    """Of these ids, those whose queues are empty, or are no more: what is in a queue, AMQP does not show."""
    return {task_id for queue, ids in by_queue.items() if _is_empty(open_channel(), queue) for task_id in ids}


def _is_empty(channel: Any, queue: str) -> bool:
    try:
        return bool(channel.queue_declare(queue, passive=True).message_count == 0)
    except ChannelError as error:
        if "no queue" in str(error):
            return True
        raise  # it is there, and its node is down, for example


_LOOK = {"redis": _not_in_redis, "amqp": _not_in_amqp}


def _not_among(ids: Collection[str], messages: Iterable[bytes]) -> set[str]:
    # Redis has messages as JSON, in which an id may look another way.
    left = {json.dumps(task_id)[1:-1].encode(): task_id for task_id in ids}
    for message in messages:
        for found in [form for form in left if form in message]:
            del left[found]
    return set(left.values())
