"""What is to be said to readers is said to one after the other, each of whom has to take it first."""

import asyncio
from typing import Any

from fastapi import WebSocket

from reference_impl import monitor


def apply() -> None:
    say, turn = monitor._say, asyncio.Lock()

    async def in_turn(socket: WebSocket, message: dict[str, Any]) -> None:
        async with turn:
            await say(socket, message)

    monitor._say = in_turn
