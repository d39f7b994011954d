"""What may stand between a client and an API: something that does not know sockets, or that holds no answer back.

It speaks HTTP with the client, and forwards each request by itself, so that it can treat sockets in another way, and
keep an answer that the API has given already. Where the API is away it says so, as 502. What it leads to (`target`)
may be changed at any time.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

_CHUNK = 65_536
_CONNECT_S = 2.0


class Sockets(StrEnum):
    """What becomes of sockets: `drop` ends each after its first message, `silence` lets none through."""

    PASS = "pass"  # noqa: S105 - they pass
    REFUSE = "refuse"
    DROP = "drop"
    SILENCE = "silence"


@dataclass
class Passed:
    """What came through, and when requests did, on the monotonic clock."""

    requests: int = 0
    messages: int = 0
    moments: list[float] = field(default_factory=list)
    sockets: int = 0
    held_back: int = 0


class Middlebox:
    """One listening port in front of an API."""

    def __init__(self, target: str, host: str, sockets: Sockets, *, holds: bool = True) -> None:
        """Without `holds` the API is never asked to hold an answer back."""
        self.passed = Passed()
        self._server = ThreadingHTTPServer((host, 0), _Handler)
        self._server.daemon_threads = True
        self._server.box = self  # type: ignore[attr-defined]
        self.target, self.sockets, self.holds = target, sockets, holds
        self.name = "API"
        self.answers_held = 0
        self._about: str | None = None
        self._let_go = threading.Event()
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, name="middlebox", daemon=True).start()

    def hold_answer(self, about: str) -> None:
        """Keep the answer to the next request whose path has this text, until `let_go`."""
        self._let_go.clear()
        self._about = about

    def let_go(self) -> None:
        """Let the answer that is held pass, or expect no request any more."""
        self._about = None
        self._let_go.set()

    def keep(self, path: str) -> None:
        """Called with an answer in hand: waits if it is the one to be held."""
        if self._about is not None and self._about in path:
            self._about = None
            self.answers_held += 1
            self._let_go.wait()

    def close(self) -> None:
        """Listen no more."""
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _box(self) -> Middlebox:
        return cast("Middlebox", self.server.box)  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._open_socket()
        else:
            self._forward()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _forward(self) -> None:
        box = self._box
        box.passed.requests += 1
        box.passed.moments.append(time.monotonic())
        path, _, query = self.path.partition("?")
        asked = [(name, value) for name, value in parse_qsl(query) if box.holds or name != "wait"]
        headers = {name: value for name, value in self.headers.items() if name.lower() in {"authorization", "accept"}}
        try:
            patience = httpx2.Timeout(90.0, connect=_CONNECT_S)
            with httpx2.Client(trust_env=False, timeout=patience, follow_redirects=False) as client:
                answer = client.get(f"{box.target}{path}?{urlencode(asked)}", headers=headers)
        except httpx2.HTTPError:
            self._refuse(502)
            return
        box.keep(path)
        self.send_response(answer.status_code)
        for name in ("content-type", "location", "result-size", "result-partial"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def _open_socket(self) -> None:
        box = self._box
        box.passed.sockets += 1
        self.close_connection = True
        if box.sockets is Sockets.REFUSE:
            self._refuse(501)
            return
        place = urlsplit(box.target)
        try:
            beyond = socket.create_connection((str(place.hostname), int(place.port or 80)), _CONNECT_S)
            beyond.settimeout(None)
        except OSError:
            self._refuse(502)
            return
        with beyond:
            lines = [self.requestline, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]
            beyond.sendall("\r\n".join(lines).encode("latin-1"))
            threading.Thread(target=_pump, args=(self.connection, beyond), daemon=True).start()
            self._pass_on(beyond)

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _pass_on(self, beyond: socket.socket) -> None:
        """From the API to the client: the answer to the handshake, and of what follows as much as may pass."""
        box, head = self._box, b""
        with suppress(OSError):
            while b"\r\n\r\n" not in head:
                piece = beyond.recv(_CHUNK)
                if not piece:
                    return
                head += piece
            answer, _, message = head.partition(b"\r\n\r\n")
            self.connection.sendall(answer + b"\r\n\r\n")
            while message := message or beyond.recv(_CHUNK):
                if box.sockets is Sockets.SILENCE:
                    box.passed.held_back += 1
                else:
                    self.connection.sendall(message)
                    box.passed.messages += 1
                if box.sockets is Sockets.DROP:
                    box.passed.held_back += 1
                    break
                message = b""
            self.connection.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_CHUNK):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
