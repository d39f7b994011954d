"""Each change is read for itself, and told when its reading is done, whatever has been told meanwhile."""

import asyncio

from starlette.concurrency import run_in_threadpool

from reference_impl.changes import Changes, Watcher
from reference_impl.status import Sighting


def apply() -> None:
    async def read(self: Changes) -> None:
        under_way = set()
        while True:
            await self._something.wait()
            self._something.clear()
            asked, self._changed = self._changed & self._watchers.keys(), set()
            reading = asyncio.create_task(tell(self, asked))
            under_way.add(reading)
            reading.add_done_callback(under_way.discard)

    async def tell(self: Changes, asked: set[str]) -> None:
        found = await run_in_threadpool(self._look, asked)
        for task_id in asked:
            for watcher in self._watchers.get(task_id, ()):
                watcher.offer(task_id, found.get(task_id))

    def offer(self: Watcher, task_id: str, sighting: Sighting | None) -> None:
        self._news[task_id] = sighting
        self._arrived.set()

    Changes._read = read  # type: ignore[method-assign]
    Watcher.offer = offer  # type: ignore[method-assign]
