"""The roll call: which incarnations answer through the broker, and whether the broker works at all.

The caller listens on the workers' own broadcast exchange beside them. Only if its own answer comes back, by the
road that theirs would take, does another's silence mean anything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from celery import Celery
from celery.worker import state as worker_state
from celery.worker.control import inspect_command
from pydantic import BaseModel, Field, ValidationError

from reference_impl import incarnation
from reference_impl.settings import Settings
from reference_impl.spool import is_behind
from reference_impl.storable import readable

logger = logging.getLogger(__name__)

COMMAND = "tracker_incarnation"
_told_of: set[str] = set()
_GRACE_S = 0.2


@dataclass(frozen=True)
class RollCall:
    """`names` are the nodes that answered, `incarnations` who they are, as far as they have a tracker.

    `held` are those of the ids sought that some worker has the message of, whatever it does with it;
    `behind` is whether any of them knows of reports that are not written yet.
    """

    broker_works: bool
    why: str
    names: frozenset[str] = frozenset()
    incarnations: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    behind: bool = False


@inspect_command(name=COMMAND)
def _answer(
    state: Any,
    caller: str | None = None,  # noqa: ARG001 - Celery's signature
    sought: Collection[str] = (),
) -> dict[str, Any]:
    """A worker's answer: its own incarnation, and which of these tasks it has received and not ended."""
    identity = incarnation.current()
    held = _held(state.consumer) & set(sought) if sought else ()
    settings: Settings | None = getattr(state.app, "tracking_settings", None)
    behind = bool(sought) and settings is not None and is_behind(settings)
    return _said(str(identity.incarnation_id) if identity else None, held, behind=behind)


def _held(consumer: Any) -> set[str]:
    """What this worker has received and not ended; what its rate limits hold back is in their buckets only."""
    held_back = (request.id for bucket in consumer.task_buckets.values() if bucket for request, _ in bucket.contents)
    return {*worker_state.requests, *held_back}


def _said(incarnation_id: str | None, held: Collection[str] = (), *, behind: bool = False) -> dict[str, Any]:
    return {"incarnation": incarnation_id, "held": list(held), "behind": behind}


class _Answer(BaseModel):
    """A worker's answer, as it comes from the network; one without the tracker says something else."""

    incarnation: UUID | None = None
    held: list[str] = Field(default_factory=list)
    behind: bool = False


@dataclass
class _Heard:
    """What has come back so far; another thread may read it at any time."""

    names: set[str] = field(default_factory=set)
    incarnations: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    behind: bool = False

    def note(self, name: str, said: object) -> None:
        """Keep one worker's answer; what it holds first. One that is none is silence."""
        try:
            answer = _Answer.model_validate(said)
        except ValidationError:
            if name not in _told_of:
                _told_of.add(name)
                logger.warning(
                    "tracking: what %s says to the roll call is no answer: %s", name, readable(said, limit=200)
                )
            return
        self.held.update(answer.held)
        self.behind = self.behind or answer.behind
        self.names.add(name)
        if answer.incarnation is not None:
            self.incarnations.add(str(answer.incarnation))


class _Complete(Exception):
    """Ends the waiting early."""


def call_the_roll(
    app: Celery, timeout_s: float, expected: Collection[str] = (), *, sought: Collection[str] = ()
) -> RollCall:
    """Ask every worker who it is, for `timeout_s` seconds, or until all `expected` incarnations have answered.

    `sought` are ids of tasks; each worker says which of them it holds.

    Never raises, and never takes much longer. It runs in a thread of its own: kombu retries without end on some
    failures, whatever time-out it is given.
    """
    heard = _Heard()
    own_id = str(uuid4())
    own = _name_of(own_id)
    failure: list[str] = []

    def attempt() -> None:
        try:
            _collect(app, own_id, timeout_s, heard, {own_id, *expected}, sorted(sought))
        except _Complete:
            return
        except Exception as error:  # noqa: BLE001 - any failure of the broker is one and the same: no proof
            failure.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=attempt, name="celery-tracker roll call", daemon=True)
    thread.start()
    thread.join(timeout_s + _GRACE_S)
    # Copies: whoever answers later is heard by nobody.
    names, incarnations, held = frozenset(heard.names - {own}), frozenset(heard.incarnations), frozenset(heard.held)
    if own_id in incarnations:
        why = "the sweep's own call came back through the broker"
        return RollCall(True, why, names, incarnations - {own_id}, held, heard.behind)
    why = f"the sweep's own call did not come back through the broker within {timeout_s:g} s"
    return RollCall(False, f"the broker failed: {failure[0]}" if failure else why, names, incarnations, held)


def _name_of(own_id: str) -> str:
    return f"tracker-{own_id}"


@contextmanager
def bounded_connection(app: Celery, timeout_s: float) -> Iterator[Any]:
    """A connection to the application's broker whose every step gives up after `timeout_s`."""
    patience = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "max_retries": 1}
    base = app.connection_for_write(connect_timeout=timeout_s)
    options = {**(base.transport_options or {}), **patience}
    with base.clone(transport_options=options) as connection:
        connection.connect()
        yield connection


def _collect(app: Celery, own_id: str, timeout_s: float, heard: _Heard, wanted: set[str], sought: list[str]) -> None:
    own = _name_of(own_id)
    deadline = time.monotonic() + timeout_s
    with bounded_connection(app, timeout_s) as connection:
        mailbox = app.control.mailbox(connection)
        channel = connection.channel()
        node = mailbox.Node(own, channel=channel, handlers={COMMAND: lambda *_, **__: _said(own_id)})

        def hear(body: Any, message: Any) -> None:  # noqa: ARG001 - kombu's signature
            # Others broadcast here too; a node that nobody knows must not show up among their answers.
            if body.get("method") == COMMAND and body.get("arguments", {}).get("caller") == own:
                node.dispatch(**{name: body[name] for name in ("method", "arguments", "reply_to", "ticket")})

        def note(reply: dict[str, Any]) -> None:
            for name, said in reply.items():
                heard.note(name, said)
            if wanted <= heard.incarnations:
                raise _Complete

        with node.listen(channel=channel, callback=hear):
            # The transport subscribes when it first drains; a call sent before that would not come back.
            _drain(connection, timeout_s / 20)
            left = max(0.01, deadline - time.monotonic())
            arguments = {"caller": own} | ({"sought": sought} if sought else {})
            mailbox.multi_call(COMMAND, arguments, timeout=left, callback=note)


def _drain(connection: Any, timeout_s: float) -> None:
    try:
        connection.drain_events(timeout=timeout_s)
    except TimeoutError:
        return
