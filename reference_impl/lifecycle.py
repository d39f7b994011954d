"""Every transition of a task's status: an event in, a new status or a refusal out. No I/O.

A record belongs to its current *attempt*: one execution, named by an id that the executing process made up
before it wrote anything. An end is taken only from the attempt that owns the record, so whatever a fenced
process writes late is refused, and the refusal is kept beside the transitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Status(StrEnum):
    """Celery's six; everything else maps to one of them."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"


ENDED = frozenset({Status.SUCCESS, Status.FAILURE, Status.REVOKED})
OPEN = frozenset(Status) - ENDED


@dataclass(frozen=True)
class Owner:
    """Who executes, or executed: `attempt_id` is unknown to a worker's main process."""

    incarnation_id: UUID | None
    attempt_id: UUID | None


DUPLICATE = (
    "a duplicate, unless the worker of its earlier attempt has just died: that one's lease holds; "
    "the broker's visibility_timeout (consumer_timeout of RabbitMQ) must be longer than the task"
)


@dataclass(frozen=True)
class Standing:
    """What of a record decides its next transition.

    `owner_lives` is told where a start may be a duplicate; `never_sent` of a FAILURE because no message is there.
    Reports that were kept through an outage come late: `publication_missing` is told until one is recorded, and
    `overtaken` where the record's attempt began after the one that is reported now.
    """

    status: Status
    owner: Owner
    owner_lives: bool = False
    never_sent: bool = False
    publication_missing: bool = False
    overtaken: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing may follow; a message that was not sent may be sent again, or turn up after all."""
        return self.status in ENDED and not self.never_sent


@dataclass(frozen=True)
class Published:
    """A message goes out; `retries` above 0 is an execution that publishes its own retry."""

    retries: int = 0


@dataclass(frozen=True)
class NotPublished:
    """The publisher was told that its message did not go out."""


@dataclass(frozen=True)
class Started:
    """A delivery begins to execute."""

    owner: Owner


@dataclass(frozen=True)
class Progressed:
    """The task tells how far it is."""

    owner: Owner


@dataclass(frozen=True)
class Succeeded:
    """The task returned."""

    owner: Owner


@dataclass(frozen=True)
class Failed:
    """The task raised, or its worker reports it lost."""

    owner: Owner


@dataclass(frozen=True)
class Ignored:
    """The task raised Ignore: whatever it did is all that there is to do."""

    owner: Owner


@dataclass(frozen=True)
class HandedBack:
    """The task raised Reject(requeue=True): the broker has its message again."""

    owner: Owner


@dataclass(frozen=True)
class Retrying:
    """The task asked to be run again."""

    owner: Owner


@dataclass(frozen=True)
class Revoked:
    """A worker discarded the delivery, or terminated the execution."""

    terminated: bool


@dataclass(frozen=True)
class Cancelled:
    """The worker ended the execution: it stops, or its broker is gone; `redeliver` where the message comes back."""

    owner: Owner
    redeliver: bool


@dataclass(frozen=True)
class WorkerLost:
    """A sweep proved the incarnation dead that held `attempt_id`; `redeliver` leaves the rest to the broker."""

    attempt_id: UUID | None
    redeliver: bool


@dataclass(frozen=True)
class Received:
    """A worker has the message; nothing is executed yet."""


@dataclass(frozen=True)
class Requeued:
    """A sweep proved the incarnation dead that held `attempt_id`, or somebody asked; the message is sent again."""

    attempt_id: UUID | None
    by_hand: bool = False


@dataclass(frozen=True)
class DeliveryLost:
    """No queue and no worker has the task's message."""


@dataclass(frozen=True)
class RedeliveryOverdue:
    """The broker did not deliver again within the bound."""


Event = (
    Published
    | NotPublished
    | Received
    | Started
    | Progressed
    | Succeeded
    | Failed
    | Ignored
    | HandedBack
    | Retrying
    | Revoked
    | Cancelled
    | WorkerLost
    | Requeued
    | DeliveryLost
    | RedeliveryOverdue
)


@dataclass(frozen=True)
class Transition:
    """The event is taken; `note` is kept beside it, and a WARNING says it where somebody must mend something."""

    to: Status
    note: str | None = None
    warn: bool = False


@dataclass(frozen=True)
class Unchanged:
    """The event is true and changes no status: it only completes what is known."""


@dataclass(frozen=True)
class Refusal:
    """The event is not taken, and why."""

    why: str


Decision = Transition | Unchanged | Refusal


def attempt_of(event: Event) -> UUID | None:
    """The attempt that an event speaks of, where it knows it."""
    match event:
        case WorkerLost(attempt_id=attempt_id) | Requeued(attempt_id=attempt_id):
            return attempt_id
        case Published() | Received() | NotPublished() | Revoked() | DeliveryLost() | RedeliveryOverdue():
            return None
        case _:
            return event.owner.attempt_id


def decide(standing: Standing | None, event: Event) -> Decision:  # noqa: C901, PLR0912 - one case for each event
    """What `event` does to a record that stands so; None is a task without a record."""
    match event:
        case Published(retries=retries):
            return _published(standing, retries)
        case NotPublished():
            return _not_published(standing)
        case Received():
            return Unchanged() if standing is None or not standing.ended else Refusal("it has ended")
        case Started(owner=owner):
            return _started(standing, owner)
        case Progressed(owner=owner):
            return _progressed(standing, owner)
        case Succeeded(owner=owner):
            return _ended(standing, owner, Status.SUCCESS)
        case Ignored(owner=owner):
            return _ended(standing, owner, Status.SUCCESS, note="ignored")
        case HandedBack(owner=owner):
            return _handed_back(standing, owner)
        case Failed(owner=owner):
            return _ended(standing, owner, Status.FAILURE)
        case Retrying(owner=owner):
            return _retrying(standing, owner)
        case Revoked(terminated=terminated):
            return _revoked(standing, terminated=terminated)
        case Cancelled(owner=owner, redeliver=redeliver):
            return _cancelled(standing, owner, redeliver=redeliver)
        case WorkerLost(attempt_id=attempt_id, redeliver=redeliver):
            return _worker_lost(standing, attempt_id, redeliver=redeliver)
        case Requeued(attempt_id=attempt_id, by_hand=by_hand):
            return _requeued(standing, attempt_id, by_hand=by_hand)
        case DeliveryLost():
            return _lost(standing)
        case RedeliveryOverdue():
            return _overdue(standing)


def _published(standing: Standing | None, retries: int) -> Decision:
    if standing is None or standing.never_sent:
        return Transition(Status.PENDING)
    if standing.ended:
        if standing.publication_missing and not retries:
            return Unchanged()
        return Refusal(f"published again after its end ({standing.status})")
    if retries and standing.status is Status.STARTED and not standing.overtaken:
        # The retry's message may be running elsewhere before the first execution has said that it retries.
        return Transition(Status.RETRY)
    return Unchanged()


def _not_published(standing: Standing | None) -> Decision:
    if standing is None:
        return Refusal("nothing was published")
    if standing.status is not Status.PENDING:
        return Refusal(f"it is {standing.status}: what failed was to publish it again")
    return Transition(Status.FAILURE)


def _started(standing: Standing | None, owner: Owner) -> Decision:
    if standing is None:
        return Transition(Status.STARTED, note="its publication was not recorded")
    if standing.never_sent:
        return Transition(Status.STARTED, note="its message turned up after all")
    if standing.ended:
        return Refusal(f"delivered again after its end ({standing.status})")
    if standing.overtaken and standing.owner.attempt_id != owner.attempt_id:
        return Refusal("an attempt that began later is known already")
    if standing.status is Status.STARTED:
        if standing.owner.attempt_id == owner.attempt_id:
            return Refusal("started twice by the same attempt")
        if standing.owner_lives:
            return Transition(Status.STARTED, note=DUPLICATE, warn=True)
        return Transition(Status.STARTED, note="delivered again while an earlier attempt had not ended")
    if standing.owner.attempt_id is not None and standing.owner.attempt_id == owner.attempt_id:
        return Refusal("a start that came after the same attempt's retry")
    return Transition(Status.STARTED)


def _progressed(standing: Standing | None, owner: Owner) -> Decision:
    if standing is not None and standing.status is Status.STARTED and _owns(owner, standing.owner):
        return Unchanged()
    return Refusal("progress of an attempt that does not own the record")


def _ended(standing: Standing | None, owner: Owner, end: Status, note: str | None = None) -> Decision:
    if standing is None or standing.status is Status.PENDING or standing.never_sent:
        return Transition(end, note="its start was not recorded")
    if standing.ended:
        return Refusal(f"late {end}: already ended ({standing.status})")
    if not _owns(owner, standing.owner):
        return Refusal(f"late {end}: another attempt owns the record")
    if standing.status is Status.RETRY and end is Status.SUCCESS:
        return Refusal("a retry of it is waiting")
    return Transition(end, note)


def _handed_back(standing: Standing | None, owner: Owner) -> Decision:
    if standing is None or standing.status is Status.PENDING or standing.never_sent:
        return Transition(Status.PENDING, note="its start was not recorded")
    if standing.ended:
        return Refusal(f"late PENDING: already ended ({standing.status})")
    if not _owns(owner, standing.owner):
        return Refusal("late PENDING: another attempt owns the record")
    return Transition(Status.PENDING)


def _retrying(standing: Standing | None, owner: Owner) -> Decision:
    if standing is None or standing.status is Status.PENDING or standing.never_sent:
        return Transition(Status.RETRY, note="its start was not recorded")
    if standing.ended:
        return Refusal(f"late RETRY: already ended ({standing.status})")
    if not _owns(owner, standing.owner):
        return Refusal("late RETRY: another attempt owns the record")
    return Unchanged() if standing.status is Status.RETRY else Transition(Status.RETRY)


def _revoked(standing: Standing | None, *, terminated: bool) -> Decision:
    if standing is None:
        return Transition(Status.REVOKED, note="its publication was not recorded")
    if standing.ended:
        return Refusal(f"late REVOKED: already ended ({standing.status})")
    if standing.status is Status.STARTED and not terminated:
        return Refusal("a second delivery was discarded; the task is still executing")
    return Transition(Status.REVOKED)


def _cancelled(standing: Standing | None, owner: Owner, *, redeliver: bool) -> Decision:
    if standing is not None and standing.status is Status.STARTED and not _owns(owner, standing.owner):
        return Refusal("another attempt owns the record")
    return _broken_off(standing, redeliver=redeliver)


def _worker_lost(standing: Standing | None, attempt_id: UUID | None, *, redeliver: bool) -> Decision:
    if standing is not None and standing.status is Status.STARTED and standing.owner.attempt_id != attempt_id:
        return Refusal("another attempt owns the record")
    waits = standing is not None and standing.status is Status.PENDING
    if standing is not None and waits and attempt_id is not None and standing.owner.attempt_id == attempt_id:
        return Refusal("its message was sent again already")
    return _broken_off(standing, redeliver=redeliver)


def _requeued(standing: Standing | None, attempt_id: UUID | None, *, by_hand: bool) -> Decision:
    if by_hand and standing is not None and standing.status in {Status.FAILURE, Status.REVOKED}:
        return Transition(Status.PENDING, note="its message was sent again")
    lost = _worker_lost(standing, attempt_id, redeliver=True)
    return Transition(Status.PENDING, note="its message was sent again") if isinstance(lost, Transition) else lost


def _overdue(standing: Standing | None) -> Decision:
    if standing is not None and standing.status is Status.RETRY:
        return Transition(Status.REVOKED)
    return Refusal("not awaiting redelivery")


def _lost(standing: Standing | None) -> Decision:
    if standing is not None and standing.status in {Status.PENDING, Status.RETRY}:
        return Transition(Status.FAILURE)
    return Refusal("it does not wait for its delivery")


def _broken_off(standing: Standing | None, *, redeliver: bool) -> Decision:
    if standing is None:
        return Transition(Status.RETRY if redeliver else Status.REVOKED, note="its record was not written")
    if standing.ended:
        return Refusal(f"already ended ({standing.status})")
    if standing.status is Status.RETRY:
        return Refusal("a retry waits for its time, whoever ran it before")
    return Transition(Status.RETRY, note="awaiting redelivery") if redeliver else Transition(Status.REVOKED)


def _owns(claimed: Owner, actual: Owner) -> bool:
    if claimed.attempt_id is not None:
        return claimed.attempt_id == actual.attempt_id
    return claimed.incarnation_id is not None and claimed.incarnation_id == actual.incarnation_id
