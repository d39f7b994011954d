"""A TCP proxy between one process and one server, whose behaviour a scenario changes while bytes flow.

Modes: `pass`; `delay` each chunk; `hold` bytes in both directions until healed; `refuse` new connections and
drop the present ones; `reset` the same with RST; `swallow` what the server answers; `cut` in the middle of the
server's next answer, once. Apart from these, the answer to one question can be held, while all else passes. It counts
what it did to whom: that is the evidence that a fault landed.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness._servers import LOOPBACK, Address

_CHUNK = 64 * 1024


class Mode(StrEnum):
    """What happens to bytes and connections."""

    PASS = "pass"  # noqa: S105 - bytes pass
    DELAY = "delay"
    HOLD = "hold"
    REFUSE = "refuse"
    RESET = "reset"
    SWALLOW = "swallow"
    CUT = "cut"


@dataclass
class Tally:
    """What the proxy did since its mode was last changed."""

    connections: int = 0
    connections_dropped: int = 0
    bytes_passed: int = 0
    bytes_delayed: int = 0
    bytes_held: int = 0
    bytes_swallowed: int = 0
    cuts: int = 0
    answers_held: int = 0


@dataclass
class _Pair:
    """A connection of a client, and the one to the server behind it."""

    asked: bool = False
    """The question whose answer is held came through it."""


class Proxy:
    """One listening port in front of one server port, served by a thread with its own event loop."""

    def __init__(self, name: str, target: Address, host: str = LOOPBACK) -> None:
        self.name = name
        self.host = host
        self.tally = Tally()
        self._target = target
        self._mode = Mode.PASS
        self._delay_s = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._fresh: set[socket.socket] = set()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._about: bytes | None = None
        self._let_go = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {name}", daemon=True)
        self._thread.start()
        self.port = 0
        self._call(self._listen())

    @property
    def login(self) -> str:
        """That of the server behind it."""
        return self._target.login

    @property
    def mode(self) -> Mode:
        """The present mode."""
        return self._mode

    @property
    def accepts(self) -> bool:
        """Whether a client can connect just now, by trying."""
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def set(self, mode: Mode, *, delay_s: float = 0.0) -> None:
        """Change the mode; the tally starts again."""
        self._call(self._change(mode, delay_s))

    @property
    def answers_held(self) -> int:
        """How many answers `hold_answer` has caught since the mode was last changed."""
        return self.tally.answers_held

    def hold_answer(self, about: str) -> None:
        """Keep the answer to the next question that has this text in one of its packets, until `let_go`."""
        self._call(self._await_question(about.encode()))

    def let_go(self) -> None:
        """Let the answer that is held pass, or expect no question any more."""
        self._call(self._await_question(None))

    def close(self) -> None:
        """Drop everything and stop."""
        if not self._loop.is_running():
            return
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        # A loop that stops leaves what was scheduled in its last round: here, the closing of sockets.
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        listener = socket.create_server((self.host, self.port))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._loop.add_reader(listener, self._accept, listener)

    async def _change(self, mode: Mode, delay_s: float) -> None:
        self._mode, self._delay_s, self.tally = mode, delay_s, Tally()
        if mode is Mode.HOLD:
            self._open.clear()
        else:
            self._open.set()
        if mode in {Mode.REFUSE, Mode.RESET}:
            await self._stop_listening()
            self._drop_all(reset=mode is Mode.RESET)
        elif self._listener is None:
            await self._listen()

    async def _await_question(self, about: bytes | None) -> None:
        self._about = about
        if about is None:
            self._let_go.set()
        else:
            self._let_go.clear()

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _drop_all(self, *, reset: bool) -> None:
        for writer in list(self._writers):
            if reset:
                linger = struct.pack("ii", 1, 0)
                with suppress(OSError):  # its socket may be closed already
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()
            self.tally.connections_dropped += 1

    async def _close(self) -> None:
        await self._stop_listening()
        self._drop_all(reset=True)
        self._open.set()
        self._let_go.set()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for connection in self._fresh:
            connection.close()

    def _accept(self, listener: socket.socket) -> None:
        """By hand: what asyncio accepts while it is told to stop gets lost, and its socket with it."""
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # the client has gone already
        connection.setblocking(False)
        self.tally.connections += 1
        self._fresh.add(connection)
        serving = self._loop.create_task(self._serve(connection))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        self._fresh.discard(connection)
        ends, pair = {writer}, _Pair()
        self._writers.add(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection(self._target.host, self._target.port)
            ends.add(there_writer)
            self._writers.add(there_writer)
            await asyncio.gather(
                self._pump(reader, there_writer, pair, from_server=False),
                self._pump(there_reader, writer, pair, from_server=True),
            )
        except OSError:
            return  # the server is away: the client sees its connection end, as without a proxy
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair, *, from_server: bool
    ) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                await self._wait_with_an_answer(chunk, pair, from_server=from_server)
                kept = await self._treat(chunk, from_server=from_server)
                if kept:
                    writer.write(kept)
                    await writer.drain()
                if kept is not chunk and kept:
                    break  # cut in the middle
        except (ConnectionError, OSError):
            pass  # either end is gone: the pair is closed below, as a network would
        finally:
            writer.close()

    async def _wait_with_an_answer(self, chunk: bytes, pair: _Pair, *, from_server: bool) -> None:
        if not from_server and self._about is not None and self._about in chunk:
            self._about, pair.asked = None, True
        elif from_server and pair.asked:
            self.tally.answers_held += 1
            await self._let_go.wait()
            pair.asked = False

    async def _treat(self, chunk: bytes, *, from_server: bool) -> bytes:
        match self._mode:
            case Mode.DELAY:
                self.tally.bytes_delayed += len(chunk)
                await asyncio.sleep(self._delay_s)
            case Mode.HOLD:
                self.tally.bytes_held += len(chunk)
                await self._open.wait()
            case Mode.SWALLOW if from_server:
                self.tally.bytes_swallowed += len(chunk)
                return b""
            case Mode.CUT if from_server:
                self.tally.cuts += 1
                self._mode = Mode.PASS
                return chunk[: len(chunk) // 2]
            case _:
                self.tally.bytes_passed += len(chunk)
        return chunk
