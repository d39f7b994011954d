"""A node that answers every question with nonsense, under the name of another."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

from kombu.connection import Connection
from kombu.pidbox import Mailbox

from harness._faults import Fault

NONSENSE: tuple[Any, ...] = ("pong?", 17, None, [], {"incarnation": 17}, {"incarnation": "x", "held": 5}, {"ok": {}})
_TURN_S = 0.05
_END_S = 5.0


def garble_replies(broker_url: str, node: str) -> Fault:
    """Answer whatever workers are asked through the broker, in the name of `node`, with each piece of `NONSENSE`.

    Lands when a question was answered so.
    """
    answered: list[str] = []
    ending = threading.Event()

    def run() -> None:
        with Connection(broker_url) as connection:  # type: ignore[no-untyped-call]
            mailbox = Mailbox("celery", type="fanout", accept=["json"])(connection)  # type: ignore[no-untyped-call]
            rogue = mailbox.Node(f"rogue-{uuid4().hex}", channel=connection.channel())

            def hear(body: Any, message: Any) -> None:  # noqa: ARG001 - kombu's signature
                to = body.get("reply_to")
                for piece in NONSENSE if to else ():
                    rogue.reply({node: piece}, to["exchange"], to["routing_key"], ticket=body["ticket"])
                answered.extend([body["method"]] if to else [])

            with rogue.listen(callback=hear):
                while not ending.is_set():
                    try:
                        connection.drain_events(timeout=_TURN_S)
                    except TimeoutError:
                        continue

    thread = threading.Thread(target=run, name="rogue node", daemon=True)

    def heal() -> None:
        ending.set()
        if thread.ident is not None:
            thread.join(_END_S)

    return Fault("garble replies", node, thread.start, lambda: {"answered": list(answered)} if answered else None, heal)
