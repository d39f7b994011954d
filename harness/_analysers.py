"""Analyser services: real WebSocket servers on threads of the harness, which answer, and misbehave, by a script.

A script is a list of steps, each of which does something on the socket of whoever asked. What follows the last step
is silence until the other side closes.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

_PACE_S = 0.01


@dataclass
class Talk:
    """One conversation: the socket, and what was asked on it."""

    connection: ServerConnection
    asked: Mapping[str, Any]
    over: threading.Event

    @property
    def task_id(self) -> str:
        """Whose analysis it is."""
        return str(self.asked.get("task_id"))


Step = Callable[[Talk], None]


def say(kind: str, **frame: Any) -> Step:
    """Send a frame of this type; it names the task unless it says otherwise."""

    def step(talk: Talk) -> None:
        talk.connection.send(json.dumps({"type": kind, "task_id": talk.task_id, **frame}))

    return step


def send(data: str | bytes) -> Step:
    """Send anything."""
    return lambda talk: talk.connection.send(data)


def say_for_ever(kind: str, **frame: Any) -> Step:
    """Send frames of this type, one after the other, until the other side closes."""

    def step(talk: Talk) -> None:
        while not talk.over.wait(_PACE_S):
            say(kind, **frame)(talk)

    return step


def cut(talk: Talk) -> None:
    """End the connection as a network does, without a word."""
    talk.connection.socket.shutdown(socket.SHUT_RDWR)


def close(talk: Talk) -> None:
    """End the connection in order."""
    talk.connection.close()


class Gate:
    """A step that waits until the scenario opens it."""

    def __init__(self) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()

    def __call__(self, talk: Talk) -> None:
        """Wait."""
        self._reached.set()
        while not talk.over.is_set() and not self._opened.wait(_PACE_S):
            continue

    @property
    def reached(self) -> bool:
        """Whether somebody waits, or has waited."""
        return self._reached.is_set()

    def open(self) -> None:
        """Let everybody pass."""
        self._opened.set()


@dataclass
class Analyser:
    """One service."""

    name: str
    script: Sequence[Step]
    host: str
    _over: threading.Event = field(default_factory=threading.Event)
    _server: Server | None = None

    def start(self) -> str:
        """Listen; gives the URL."""
        self._server = serve(self._answer, self.host, 0, max_size=None)
        threading.Thread(target=self._server.serve_forever, name=f"analyser {self.name}", daemon=True).start()
        return f"ws://{self.host}:{self._server.socket.getsockname()[1]}"

    def close(self) -> None:
        """Listen no more, and end every conversation."""
        self._over.set()
        if self._server is not None:
            self._server.shutdown()

    def _answer(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed, OSError, ValueError):
            talk = Talk(connection, json.loads(connection.recv()), self._over)
            for step in self.script:
                step(talk)
            while not self._over.is_set():
                connection.recv()
