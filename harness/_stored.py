"""Entries with which a scenario fills the result backend: as an application stores them, and then broken by design."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

NOW = "now"
"""The time stamp that Celery itself sets."""


@dataclass(frozen=True)
class Stored:
    """What is stored as the result of a task that nobody has published, by the application's own backend.

    Another `date_done` than Celery's stands in its text as it is given here. Afterwards it may be written over by
    `text`, packed (`compressed`), made a list instead of a text (`listed`), or removed (`gone`).
    """

    state: Any = "SUCCESS"
    result: Any = None
    date_done: Any = NOW
    text: bytes | None = None
    compressed: bool = False
    listed: bool = False
    gone: bool = False
    task_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def line(self) -> str:
        """As the client reads it."""
        text = self.text
        if text is None and (self.date_done != NOW or self.compressed or not isinstance(self.state, str)):
            meta = {"status": self.state, "result": self.result, "traceback": None, "children": []}
            dated = {} if self.date_done == NOW else {"date_done": self.date_done}
            text = json.dumps(meta | dated | {"task_id": self.task_id}).encode()
        told = {
            "task_id": self.task_id,
            "state": self.state if isinstance(self.state, str) else "SUCCESS",
            "result": self.result,
            "text": None if text is None else base64.b64encode(text).decode(),
            "compressed": self.compressed,
            "listed": self.listed,
            "gone": self.gone,
        }
        return json.dumps(told)
