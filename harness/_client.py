"""A process of the application that publishes and asks on a scenario's behalf, one JSON line each way."""

from __future__ import annotations

import base64
import json
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness._processes import OwnedProcess, await_until
from harness._proxy import Proxy
from harness._timing import STARTUP_S


@dataclass
class Links:
    """The proxies of one process."""

    postgres: Proxy
    redis: Proxy
    broker: Proxy


class Client:
    """A process of the application that publishes and asks."""

    def __init__(self, process: OwnedProcess, links: Links | None) -> None:
        self.process = process
        self.links = links
        self._ready = False

    def ask(self, what: str, within_s: float = STARTUP_S, **values: Any) -> Any:
        """Have one action done. Raises ClientFailed with the application's own error, NeverCame without answer."""
        if not self._ready:
            self._answer(STARTUP_S)
            self._ready = True
        into, _ = self.process.streams
        into.write(json.dumps({"do": what, **values}).encode() + b"\n")
        into.flush()
        return self._answer(within_s)

    def _answer(self, within_s: float) -> Any:
        _, out = self.process.streams
        os.set_blocking(out.fileno(), False)
        line = b""

        def look() -> bytes | None:
            nonlocal line
            line += out.readline() or b""
            return line if line.endswith(b"\n") else None

        def gone() -> str | None:
            if self.process.running:
                return None
            return f"the client ended with exit code {self.process.exit_code}\n{self.process.tail()}"

        answer = json.loads(await_until("the client's answer", look, within_s, gone))
        if "fail" in answer:
            raise ClientFailed(answer["fail"], answer["error"])
        return answer["ok"]


class ClientFailed(Exception):
    """The application refused what a client asked; `kind` is the name of its error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


def packed(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Arguments as they travel to the client: pickled, through a pipe that only the harness writes to."""
    return base64.b64encode(pickle.dumps((tuple(args), dict(kwargs)))).decode()
