"""Readers of the sockets on which a subject pushes changes, all of them on one thread of the harness.

What a reader hears is kept with the moment at which it came, and goes into the history when the scenario says so.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_and_wait

from harness._processes import await_until

OPEN_S = 10.0
_CLOGGED_BYTES = 4096
_STUCK_S = 0.5
"""For so long nothing more comes in although something is asked for."""


@dataclass(frozen=True)
class Heard:
    """A message, and when it came: on the monotonic clock and on the wall's."""

    message: Any
    at: float
    wall: str


@dataclass
class Follower:
    """One reader. `refused` is the status with which its socket was not opened, `closed` the code of its end."""

    name: str
    url: str
    heard: list[Heard] = field(default_factory=list)
    opened: bool = False
    refused: int | None = None
    closed: int | None = None

    def last(self, name: str) -> Any:
        """A field of the last message; None where there is none."""
        message = self.heard[-1].message if self.heard else None
        return message.get(name) if isinstance(message, Mapping) else None


class Followers:
    """The thread on which they read; it starts with the first of them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="followers", daemon=True)
        self._reading: list[asyncio.Task[None]] = []
        self._sockets: dict[str, Any] = {}

    def start(self, url: str, token: str | None) -> Follower:
        """A reader that begins at once."""
        if not self._thread.is_alive():
            self._thread.start()
        follower = Follower(f"reader {len(self._reading) + 1}", url)
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}

        async def begin() -> None:
            self._reading.append(asyncio.create_task(self._read(follower, headers)))

        asyncio.run_coroutine_threadsafe(begin(), self._loop).result(OPEN_S)
        return follower

    def say(self, follower: Follower, text: str | bytes) -> None:
        """Send something on the socket of a reader that has been opened."""
        asyncio.run_coroutine_threadsafe(self._sockets[follower.name].send(text), self._loop).result(OPEN_S)

    def close(self) -> None:
        """End all of them."""

        async def end() -> None:
            for task in self._reading:
                task.cancel()
            await asyncio.gather(*self._reading, return_exceptions=True)

        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(OPEN_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(OPEN_S)
        self._loop.close()

    async def _read(self, follower: Follower, headers: Mapping[str, str]) -> None:
        try:
            async with connect(
                follower.url, additional_headers=dict(headers), open_timeout=OPEN_S, close_timeout=1, proxy=None
            ) as opened:
                follower.opened = True
                self._sockets[follower.name] = opened
                async for text in opened:
                    follower.heard.append(Heard(_message(text), time.monotonic(), datetime.now(UTC).isoformat()))
                follower.closed = opened.close_code
        except InvalidStatus as error:
            follower.refused = error.response.status_code
        except ConnectionClosed as error:
            follower.closed = error.rcvd.code if error.rcvd else 1006
        except (OSError, WebSocketException):
            follower.closed = 1006


class Clog:
    """A reader with a small buffer who takes nothing out of it, but asks until its server can send no more."""

    def __init__(self, url: str, token: str, asking: Sequence[str], unsent: Callable[[int], int]) -> None:
        """`unsent` gives how many bytes the server's kernel holds for this port of ours."""
        self._url, self._token, self._asking, self._unsent = url, token, asking, unsent
        self._socket: ClientConnection | None = None
        self._opened = ExitStack()

    def open(self) -> None:
        """Raises NeverCame where what waits to be sent grows without end."""
        place = urlsplit(self._url)
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CLOGGED_BYTES)
        link.connect((str(place.hostname), int(place.port or 80)))
        headers = {"Authorization": f"Bearer {self._token}"}
        self._socket = self._opened.enter_context(
            connect_and_wait(
                self._url, sock=link, additional_headers=headers, compression=None, max_queue=1, close_timeout=0
            )
        )
        before, since = 0, time.monotonic()

        def full() -> bool | None:
            nonlocal before, since
            assert self._socket is not None
            for text in self._asking:
                self._socket.send(text)
            if self.unsent != before:
                before, since = self.unsent, time.monotonic()
            return (before > 0 and time.monotonic() - since > _STUCK_S) or None

        await_until("a buffer that stays full", full, OPEN_S)

    @property
    def unsent(self) -> int:
        """How many bytes wait on the server's side."""
        return self._unsent(self._socket.socket.getsockname()[1]) if self._socket is not None else 0

    def close(self) -> None:
        """End it without a word."""
        if self._socket is not None:
            with suppress(OSError):  # the other side may have ended it first
                self._socket.socket.shutdown(socket.SHUT_RDWR)
        self._opened.close()


def _message(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
