"""Word of every change, from one subscription of this process to the database, however many wait for it.

The database notifies when a transaction is committed that moved a task on. What is watched is then read once, and
handed to all who watch it. Whoever is slow finds the newest state of each of his tasks, and nothing else: a state
says everything, so none that was overtaken is missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from reference_impl.connections import cause_of
from reference_impl.settings import Settings
from reference_impl.status import Sighting, read_sightings

logger = logging.getLogger(__name__)

CHANNEL = "celery_task_changed"
_RETRY_S = (0.1, 0.5, 1.0, 2.0)
_LOOK_AGAIN_S = 15.0
"""All that is watched is read after this time in any case, should word of a change have been lost."""
_LOOK_UNHEARD_S = 1.0


_NOWHERE = -2


class Watcher:
    """One reader: the newest sighting of each of its tasks that it has not taken yet."""

    def __init__(self) -> None:
        self._news: dict[str, Sighting | None] = {}
        self._seen: dict[str, int] = {}
        self._arrived = asyncio.Event()

    @property
    def tasks(self) -> list[str]:
        """What it is told of."""
        return list(self._seen)

    async def next(self) -> tuple[str, Sighting | None]:
        """Wait for news of a task; None of one that nobody has heard of."""
        while not self._news:
            self._arrived.clear()
            await self._arrived.wait()
        task_id = next(iter(self._news))
        return task_id, self._news.pop(task_id)

    def expect(self, task_id: str, after: int) -> None:
        """States up to this number are known already."""
        self._seen[task_id] = after

    def offer(self, task_id: str, sighting: Sighting | None) -> None:
        """Take note of it, unless it is known already; it stands for whatever came before it."""
        version = _NOWHERE if sighting is None else sighting.version
        if version == self._seen.get(task_id) or _NOWHERE < version <= self._seen.get(task_id, -1):
            return
        self._seen[task_id] = version
        self._news[task_id] = sighting
        self._arrived.set()

    def forget(self, task_id: str) -> None:
        """Nothing more of it."""
        self._news.pop(task_id, None)
        self._seen.pop(task_id, None)


class Changes:
    """One subscription, and those who watch."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        url = make_url(settings.sqlalchemy_url).set(drivername="postgresql")
        self._conninfo = url.render_as_string(hide_password=False)
        self._engine = engine
        self._secrets = settings.masked_names
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._changed: set[str] = set()
        self._something = asyncio.Event()
        self.connected = False
        self.watchers = 0

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """A reader that is told nothing more when it leaves."""
        watcher = Watcher()
        self.watchers += 1
        try:
            yield watcher
        finally:
            self.watchers -= 1
            for task_id in watcher.tasks:
                self.unsubscribe(watcher, task_id)

    def subscribe(self, watcher: Watcher, task_id: str, after: int = -1) -> None:
        """Have it told of the task: how it stands now, if that is news after the state `after`, and every change."""
        watcher.expect(task_id, after)
        self._watchers[task_id].add(watcher)
        self._read_soon(task_id)

    def unsubscribe(self, watcher: Watcher, task_id: str) -> None:
        """Have it told no more of the task."""
        watcher.forget(task_id)
        self._watchers[task_id].discard(watcher)
        if not self._watchers[task_id]:
            self._watchers.pop(task_id)

    async def run(self) -> None:
        """Listen and read until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._read())

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._conninfo,
                    autocommit=True,
                    connect_timeout=2,
                    application_name="celery-tracker changes",
                    keepalives_idle=5,
                    keepalives_interval=2,
                    keepalives_count=3,
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}".encode())
                    self.connected, failures = True, 0
                    self._read_soon(*self._watchers)  # something may have been missed
                    async for notification in connection.notifies():
                        if notification.payload in self._watchers:
                            self._read_soon(notification.payload)
            except psycopg.Error as error:
                if self.connected or not failures:
                    logger.error("changes are not heard for now: %s", cause_of(error))
            self.connected = False
            await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
            failures += 1

    async def _read(self) -> None:
        while True:
            with suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it may lose a cancellation that comes together with the event.
                async with asyncio.timeout(_LOOK_AGAIN_S if self.connected else _LOOK_UNHEARD_S):
                    await self._something.wait()
            self._something.clear()
            asked = (self._changed or set(self._watchers)) & self._watchers.keys()
            self._changed = set()
            if not asked:
                continue
            try:
                found = await run_in_threadpool(self._look, asked)
            except SQLAlchemyError as error:
                logger.error("what is watched cannot be read for now: %s", cause_of(error))
                await asyncio.sleep(_LOOK_UNHEARD_S)
                self._read_soon(*asked)
                continue
            for task_id in asked:
                for watcher in self._watchers.get(task_id, ()):
                    watcher.offer(task_id, found.get(task_id))

    def _look(self, task_ids: set[str]) -> dict[str, Sighting]:
        with self._engine.connect() as connection:
            return read_sightings(connection, task_ids, self._secrets)

    def _read_soon(self, *task_ids: str) -> None:
        self._changed.update(task_ids)
        self._something.set()
