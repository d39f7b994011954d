"""Watching over a WebSocket: how a task stands now, and each change, as it happens.

A message has `type`, `sequence` and the fields of a status. The types are `task_progress` for a task that has not
ended, then one of `task_completed`, `task_failed`, `task_revoked`. Sequence numbers of a task only grow; who comes
back says which was the last (`after`), and is told of what is newer.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Literal

import anyio
from fastapi import FastAPI, Query, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reference_impl.changes import Changes, Watcher
from reference_impl.lifecycle import Status
from reference_impl.status import Sighting

SUBPROTOCOL = "celery-tracker"
BEARER = "bearer."
TASKS_MAX = 1000
MESSAGE_CHARS_MAX = 4096
MISTAKES_MAX = 20

_SEND_S = 10.0
"""Who does not take a message within this is let go."""
_REFUSED = 1008

_TYPES = {Status.SUCCESS: "task_completed", Status.FAILURE: "task_failed", Status.REVOKED: "task_revoked"}


class Subscription(BaseModel):
    """What a reader may say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["subscribe_task", "unsubscribe_task"]
    task_id: str = Field(min_length=1, max_length=255)
    after: int = Field(default=-1, ge=-1)


def add_monitor(api: FastAPI, changes: Changes, who_calls: Any) -> None:
    """The two sockets; `who_calls` gives the caller of a token, or None."""

    def admitted(socket: WebSocket) -> Any:
        offered = socket.headers.get("sec-websocket-protocol", "").split(",")
        tokens = [said.strip().removeprefix(BEARER) for said in offered if said.strip().startswith(BEARER)]
        scheme, _, token = socket.headers.get("authorization", "").partition(" ")
        return who_calls(token if scheme.lower() == "bearer" else tokens[0] if tokens else "")

    @api.websocket("/tasks/{task_id}/monitor")
    async def monitor_one(socket: WebSocket, task_id: str, after: Annotated[int, Query(ge=-1)] = -1) -> None:
        caller = admitted(socket)
        if caller is None or not 0 < len(task_id) <= 255:
            await socket.close(_REFUSED)
            return
        await _accept(socket)
        with changes.watching() as watcher:
            changes.subscribe(watcher, task_id, after)
            await _until_one_ends(partial(_send, socket, watcher, caller, until_end=True), partial(_discard, socket))

    @api.websocket("/monitor")
    async def monitor_many(socket: WebSocket) -> None:
        caller = admitted(socket)
        if caller is None:
            await socket.close(_REFUSED)
            return
        await _accept(socket)
        with changes.watching() as watcher:
            await _until_one_ends(partial(_send, socket, watcher, caller), partial(_listen, socket, watcher, changes))


async def _accept(socket: WebSocket) -> None:
    offered = [said.strip() for said in socket.headers.get("sec-websocket-protocol", "").split(",")]
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)


async def _until_one_ends(*works: Callable[[], Awaitable[None]]) -> None:
    """What is left is cancelled; that a reader has gone away is no trouble."""
    async with anyio.create_task_group() as group:

        async def run(work: Callable[[], Awaitable[None]]) -> None:
            with suppress(WebSocketDisconnect, TimeoutError, RuntimeError):  # the last one where it is closed already
                await work()
            group.cancel_scope.cancel()

        for work in works:
            group.start_soon(run, work)


async def _send(socket: WebSocket, watcher: Watcher, caller: Any, *, until_end: bool = False) -> None:
    while True:
        task_id, sighting = await watcher.next()
        if sighting is None or caller.owner not in {None, sighting.owner}:
            await _say(socket, {"type": "error", "code": "unknown", "task_id": task_id})
            if until_end:
                await socket.close(_REFUSED)
                return
            continue
        await _say(socket, message_of(sighting))
        if until_end and sighting.status.ready:
            await socket.close()
            return


async def _say(socket: WebSocket, message: dict[str, Any]) -> None:
    with anyio.fail_after(_SEND_S):
        await socket.send_text(json.dumps(message))


def message_of(sighting: Sighting) -> dict[str, Any]:
    """What is said of a state of a task."""
    kind = _TYPES.get(sighting.status.status, "task_progress")
    return {"type": kind, "sequence": sighting.version, **sighting.status.model_dump(mode="json")}


async def _discard(socket: WebSocket) -> None:
    """Whoever watches one task has nothing to say; this only notices that he leaves."""
    while True:
        await socket.receive_text()


async def _listen(socket: WebSocket, watcher: Watcher, changes: Changes) -> None:
    subscribed: set[str] = set()
    mistakes = 0
    while mistakes < MISTAKES_MAX:
        text = await socket.receive_text()
        try:
            said = Subscription.model_validate_json(text[: MESSAGE_CHARS_MAX + 1])
        except ValidationError:
            mistakes += 1
            await _say(socket, {"type": "error", "code": "malformed"})
            continue
        if said.type == "unsubscribe_task":
            subscribed.discard(said.task_id)
            changes.unsubscribe(watcher, said.task_id)
        elif len(subscribed) >= TASKS_MAX and said.task_id not in subscribed:
            await _say(socket, {"type": "error", "code": "too-many", "task_id": said.task_id})
        else:
            subscribed.add(said.task_id)
            changes.subscribe(watcher, said.task_id, said.after)
    await socket.close(_REFUSED)
