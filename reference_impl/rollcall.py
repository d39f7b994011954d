"""The roll call: which incarnations answer through the broker, and whether the broker works at all.

The caller listens on the workers' own broadcast exchange beside them. Only if its own answer comes back, by the
road that theirs would take, does another's silence mean anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.worker.control import inspect_command

from reference_impl import incarnation

COMMAND = "tracker_incarnation"
_GRACE_S = 0.2


@dataclass(frozen=True)
class RollCall:
    """`answers` maps node names to incarnation ids, None where a worker has no tracker."""

    broker_works: bool
    why: str
    answers: dict[str, str | None] = field(default_factory=dict)


@inspect_command(name=COMMAND)
def _answer(state: Any, caller: str | None = None) -> dict[str, str | None]:  # noqa: ARG001 - Celery's signature
    """A worker's answer: its own incarnation."""
    identity = incarnation.current()
    return {"incarnation": str(identity.incarnation_id) if identity else None}


class _Complete(Exception):
    """Ends the waiting early."""


def call_the_roll(app: Celery, timeout_s: float, expected: Collection[str] = ()) -> RollCall:
    """Ask every worker who it is, for `timeout_s` seconds, or until all `expected` incarnations have answered.

    Never raises, and never takes much longer. It runs in a thread of its own: kombu retries without end on some
    failures, whatever time-out it is given.
    """
    answers: dict[str, str | None] = {}
    own = f"tracker-{uuid4().hex}"
    failure: list[str] = []

    def attempt() -> None:
        try:
            _collect(app, own, timeout_s, answers, {own, *expected})
        except _Complete:
            return
        except Exception as error:  # noqa: BLE001 - any failure of the broker is one and the same: no proof
            failure.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=attempt, name="celery-tracker roll call", daemon=True)
    thread.start()
    thread.join(timeout_s + _GRACE_S)
    heard = dict(answers)
    if own in heard:
        del heard[own]
        return RollCall(True, "the sweep's own call came back through the broker", heard)
    if failure:
        return RollCall(False, f"the broker failed: {failure[0]}", heard)
    return RollCall(False, f"the sweep's own call did not come back through the broker within {timeout_s:g} s", heard)


def _collect(app: Celery, own: str, timeout_s: float, answers: dict[str, str | None], wanted: set[str]) -> None:
    deadline = time.monotonic() + timeout_s
    patience = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "max_retries": 1}
    base = app.connection_for_write(connect_timeout=timeout_s)
    options = {**(base.transport_options or {}), **patience}
    with base.clone(transport_options=options) as connection:
        connection.connect()
        mailbox = app.control.mailbox(connection)
        channel = connection.channel()
        node = mailbox.Node(own, channel=channel, handlers={COMMAND: lambda _state, caller: {"incarnation": caller}})

        def hear(body: Any, message: Any) -> None:  # noqa: ARG001 - kombu's signature
            # Others broadcast here too; a node that nobody knows must not show up among their answers.
            if body.get("method") == COMMAND and body.get("arguments", {}).get("caller") == own:
                node.dispatch(**{name: body[name] for name in ("method", "arguments", "reply_to", "ticket")})

        def note(reply: dict[str, Any]) -> None:
            for name, said in reply.items():
                answers[name] = said.get("incarnation") if isinstance(said, dict) else None
            if wanted <= set(answers.values()):
                raise _Complete

        with node.listen(channel=channel, callback=hear):
            # The transport subscribes when it first drains; a call sent before that would not come back.
            _drain(connection, timeout_s / 20)
            left = max(0.01, deadline - time.monotonic())
            mailbox.multi_call(COMMAND, {"caller": own}, timeout=left, callback=note)


def _drain(connection: Any, timeout_s: float) -> None:
    try:
        connection.drain_events(timeout=timeout_s)
    except TimeoutError:
        return
