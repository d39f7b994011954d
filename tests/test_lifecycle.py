"""The lifecycle decides: what each event does to a record, and that an end is final."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reference_impl.lifecycle import (
    DUPLICATE,
    ENDED,
    OPEN,
    Cancelled,
    Decision,
    DeliveryLost,
    Event,
    Failed,
    HandedBack,
    Ignored,
    NotPublished,
    Owner,
    Progressed,
    Published,
    RedeliveryOverdue,
    Refusal,
    Requeued,
    Retrying,
    Revoked,
    Standing,
    Started,
    Status,
    Succeeded,
    Transition,
    Unchanged,
    WorkerLost,
    decide,
)

WORKER, OTHER_WORKER = UUID(int=1), UUID(int=2)
ATTEMPT, OTHER_ATTEMPT = UUID(int=11), UUID(int=12)
ME = Owner(WORKER, ATTEMPT)
ANOTHER = Owner(OTHER_WORKER, OTHER_ATTEMPT)
MAIN_PROCESS = Owner(WORKER, None)
OTHER_MAIN_PROCESS = Owner(OTHER_WORKER, None)
NOBODY = Owner(None, None)


def standing(status: Status, owner: Owner | None = None) -> Standing:
    """A record as it stands; a pending one has no owner, any other is this attempt's."""
    return Standing(status, owner or (NOBODY if status is Status.PENDING else ME))


MOVES: list[tuple[Status | None, Event, Status]] = [
    (None, Published(), Status.PENDING),
    (None, Started(ME), Status.STARTED),
    (None, Succeeded(ME), Status.SUCCESS),
    (None, Failed(ME), Status.FAILURE),
    (None, Retrying(ME), Status.RETRY),
    (None, Revoked(terminated=False), Status.REVOKED),
    (Status.PENDING, Started(ME), Status.STARTED),
    (Status.PENDING, Succeeded(ME), Status.SUCCESS),
    (Status.PENDING, Failed(ME), Status.FAILURE),
    (Status.PENDING, Retrying(ME), Status.RETRY),
    (Status.PENDING, Revoked(terminated=False), Status.REVOKED),
    (Status.PENDING, WorkerLost(ATTEMPT, redeliver=False), Status.REVOKED),
    (Status.PENDING, WorkerLost(ATTEMPT, redeliver=True), Status.RETRY),
    (Status.STARTED, Published(retries=1), Status.RETRY),
    (Status.STARTED, Started(ANOTHER), Status.STARTED),
    (Status.STARTED, Succeeded(ME), Status.SUCCESS),
    (Status.STARTED, Failed(ME), Status.FAILURE),
    (Status.STARTED, Failed(MAIN_PROCESS), Status.FAILURE),
    (Status.STARTED, Retrying(ME), Status.RETRY),
    (Status.STARTED, Revoked(terminated=True), Status.REVOKED),
    (Status.STARTED, WorkerLost(ATTEMPT, redeliver=False), Status.REVOKED),
    (Status.STARTED, WorkerLost(ATTEMPT, redeliver=True), Status.RETRY),
    (Status.PENDING, NotPublished(), Status.FAILURE),
    (Status.PENDING, DeliveryLost(), Status.FAILURE),
    (Status.RETRY, DeliveryLost(), Status.FAILURE),
    (Status.STARTED, Ignored(ME), Status.SUCCESS),
    (Status.STARTED, HandedBack(ME), Status.PENDING),
    (Status.PENDING, HandedBack(ME), Status.PENDING),
    (Status.STARTED, Cancelled(MAIN_PROCESS, redeliver=False), Status.REVOKED),
    (Status.STARTED, Cancelled(MAIN_PROCESS, redeliver=True), Status.RETRY),
    (Status.RETRY, Started(ANOTHER), Status.STARTED),
    (Status.RETRY, Failed(ME), Status.FAILURE),
    (Status.RETRY, Revoked(terminated=False), Status.REVOKED),
    (Status.RETRY, RedeliveryOverdue(), Status.REVOKED),
]

REFUSALS: list[tuple[Status | None, Event, str]] = [
    (None, RedeliveryOverdue(), "not awaiting redelivery"),
    (Status.PENDING, RedeliveryOverdue(), "not awaiting redelivery"),
    (Status.STARTED, Started(ME), "started twice by the same attempt"),
    (Status.STARTED, Succeeded(ANOTHER), "another attempt owns the record"),
    (Status.STARTED, Failed(OTHER_MAIN_PROCESS), "another attempt owns the record"),
    (Status.STARTED, Failed(NOBODY), "another attempt owns the record"),
    (Status.STARTED, Retrying(ANOTHER), "another attempt owns the record"),
    (Status.STARTED, Revoked(terminated=False), "still executing"),
    (Status.STARTED, WorkerLost(OTHER_ATTEMPT, redeliver=False), "another attempt owns the record"),
    (Status.STARTED, RedeliveryOverdue(), "not awaiting redelivery"),
    (None, NotPublished(), "nothing was published"),
    (Status.STARTED, NotPublished(), "it is STARTED"),
    (Status.RETRY, NotPublished(), "it is RETRY"),
    (Status.STARTED, Ignored(ANOTHER), "another attempt owns the record"),
    (Status.STARTED, HandedBack(ANOTHER), "late PENDING: another attempt owns the record"),
    (Status.SUCCESS, HandedBack(ME), "late PENDING: already ended (SUCCESS)"),
    (Status.STARTED, Cancelled(OTHER_MAIN_PROCESS, redeliver=False), "another attempt owns the record"),
    (Status.SUCCESS, Cancelled(MAIN_PROCESS, redeliver=False), "already ended (SUCCESS)"),
    (Status.RETRY, Cancelled(MAIN_PROCESS, redeliver=True), "a retry waits for its time"),
    (Status.RETRY, Started(ME), "after the same attempt's retry"),
    (Status.RETRY, Succeeded(ME), "a retry of it is waiting"),
    (Status.RETRY, WorkerLost(ATTEMPT, redeliver=True), "a retry waits for its time"),
    (Status.SUCCESS, Published(), "published again after its end (SUCCESS)"),
    (Status.FAILURE, Started(ANOTHER), "delivered again after its end (FAILURE)"),
    (Status.REVOKED, Started(ANOTHER), "delivered again after its end (REVOKED)"),
    (Status.REVOKED, Succeeded(ME), "late SUCCESS: already ended (REVOKED)"),
    (Status.SUCCESS, Failed(ME), "late FAILURE: already ended (SUCCESS)"),
    (Status.SUCCESS, Retrying(ME), "late RETRY: already ended (SUCCESS)"),
    (Status.SUCCESS, Revoked(terminated=True), "late REVOKED: already ended (SUCCESS)"),
    (Status.FAILURE, WorkerLost(ATTEMPT, redeliver=False), "already ended (FAILURE)"),
    (Status.REVOKED, RedeliveryOverdue(), "not awaiting redelivery"),
]


@pytest.mark.parametrize(("before", "event", "after"), MOVES)
def test_an_event_moves_a_record_on(before: Status | None, event: Event, after: Status) -> None:
    """Each legal move is taken and leads to one status."""
    decision = decide(standing(before) if before else None, event)

    assert isinstance(decision, Transition)
    assert decision.to is after


@pytest.mark.parametrize(("before", "event", "why"), REFUSALS)
def test_an_illegal_event_is_refused_with_its_reason(before: Status | None, event: Event, why: str) -> None:
    """Each illegal move is refused and tells why."""
    decision = decide(standing(before) if before else None, event)

    assert isinstance(decision, Refusal)
    assert why in decision.why


@pytest.mark.parametrize("status", sorted(OPEN))
def test_a_late_publication_only_completes_what_is_known(status: Status) -> None:
    """A publication that is written after the worker's own reports changes no status."""
    assert decide(standing(status), Published()) == Unchanged()


def test_progress_changes_no_status() -> None:
    """Progress of the attempt that owns a running record is taken, any other is refused."""
    assert decide(standing(Status.STARTED), Progressed(ME)) == Unchanged()
    for before in (None, standing(Status.STARTED, ANOTHER), standing(Status.RETRY), standing(Status.SUCCESS)):
        assert isinstance(decide(before, Progressed(ME)), Refusal)


def test_a_retry_published_before_it_is_reported_counts_once() -> None:
    """A retry that its own publication has announced already is true and changes nothing."""
    announced = decide(standing(Status.STARTED), Published(retries=1))
    reported = decide(standing(Status.RETRY), Retrying(ME))

    assert announced == Transition(Status.RETRY)
    assert reported == Unchanged()


@pytest.mark.parametrize("event", [Started(ME), Succeeded(ME), Failed(ME), Retrying(ME), Revoked(terminated=True)])
def test_what_was_not_recorded_before_is_noted(event: Event) -> None:
    """The first report of a task whose publication was lost is taken with a note that says so."""
    decision = decide(None, event)

    assert isinstance(decision, Transition)
    assert decision.note is not None
    assert "was not recorded" in decision.note


def test_a_second_delivery_of_a_running_task_is_noted() -> None:
    """A redelivery takes the record over, and the trail says that an earlier attempt had not ended."""
    decision = decide(standing(Status.STARTED), Started(ANOTHER))

    assert decision == Transition(Status.STARTED, note="delivered again while an earlier attempt had not ended")


def test_a_second_delivery_of_a_task_whose_worker_lives_is_a_duplicate() -> None:
    """Where the earlier attempt's worker holds its lease, somebody is warned of a duplicate and of its cause."""
    before = Standing(Status.STARTED, ME, owner_lives=True)

    assert decide(before, Started(ANOTHER)) == Transition(Status.STARTED, note=DUPLICATE, warn=True)


@pytest.mark.parametrize("status", sorted(ENDED))
def test_a_publication_that_comes_late_completes_the_record(status: Status) -> None:
    """Kept through an outage, it may be written after the end; a second one would be another matter."""
    missing, known = (Standing(status, ME, publication_missing=missing) for missing in (True, False))

    assert decide(missing, Published()) == Unchanged()
    assert isinstance(decide(missing, Published(retries=1)), Refusal)
    assert isinstance(decide(known, Published()), Refusal)


def test_a_retry_that_is_published_late_leaves_the_running_attempt_alone() -> None:
    """The publication was kept through an outage, and the retry runs already."""
    assert decide(Standing(Status.STARTED, ME, overtaken=True), Published(retries=1)) == Unchanged()
    assert decide(Standing(Status.STARTED, ME), Published(retries=1)) == Transition(Status.RETRY)


@pytest.mark.parametrize("event", [WorkerLost(ATTEMPT, redeliver=False), Requeued(ATTEMPT)])
def test_what_was_sent_again_is_not_taken_away_with_its_last_attempt(event: Event) -> None:
    """Somebody was faster: the record waits, and still names the attempt that was lost."""
    assert isinstance(decide(Standing(Status.PENDING, ME), event), Refusal)
    assert isinstance(decide(Standing(Status.PENDING, ANOTHER), event), Transition)


@pytest.mark.parametrize("status", sorted(OPEN))
def test_a_start_that_comes_late_takes_nothing_over(status: Status) -> None:
    """An attempt that began later has the record; the earlier one is known from its own table."""
    assert isinstance(decide(Standing(status, ANOTHER, overtaken=True), Started(ME)), Refusal)


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (Published(), Status.PENDING),
        (Started(ME), Status.STARTED),
        (Succeeded(ME), Status.SUCCESS),
        (Retrying(ME), Status.RETRY),
        (Revoked(terminated=False), Status.REVOKED),
    ],
)
def test_what_was_not_sent_may_be_sent_again(event: Event, after: Status) -> None:
    """A failed publication is an end that nothing came to: publish it again, or its message turns up after all."""
    decision = decide(Standing(Status.FAILURE, NOBODY, never_sent=True), event)

    assert isinstance(decision, Transition)
    assert decision.to is after


UUIDS = st.one_of(st.none(), st.sampled_from([WORKER, OTHER_WORKER, ATTEMPT, OTHER_ATTEMPT]), st.uuids())
OWNERS = st.builds(Owner, UUIDS, UUIDS)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Published, st.integers(min_value=0, max_value=3)),
    st.builds(Started, OWNERS),
    st.builds(Succeeded, OWNERS),
    st.builds(Failed, OWNERS),
    st.builds(Retrying, OWNERS),
    st.builds(Revoked, terminated=st.booleans()),
    st.just(NotPublished()),
    st.builds(Progressed, OWNERS),
    st.builds(Ignored, OWNERS),
    st.builds(HandedBack, OWNERS),
    st.builds(Cancelled, OWNERS, redeliver=st.booleans()),
    st.builds(WorkerLost, UUIDS, redeliver=st.booleans()),
    st.just(RedeliveryOverdue()),
)
STANDINGS = st.one_of(st.none(), st.builds(Standing, st.sampled_from(list(Status)), OWNERS))


@given(STANDINGS, EVENTS)
def test_every_event_is_decided(before: Standing | None, event: Event) -> None:
    """Whatever the record and the event, there is a decision, and never an exception."""
    assert isinstance(decide(before, event), Transition | Unchanged | Refusal)


@given(st.sampled_from(sorted(ENDED)), OWNERS, EVENTS)
def test_nothing_follows_an_end(status: Status, owner: Owner, event: Event) -> None:
    """No event takes a record out of SUCCESS, FAILURE or REVOKED."""
    assert isinstance(decide(Standing(status, owner), event), Refusal)


@given(
    st.sampled_from([Status.STARTED, Status.RETRY]), OWNERS, st.sampled_from([Succeeded, Failed, Retrying]), st.uuids()
)
def test_a_late_end_of_another_attempt_changes_nothing(
    status: Status, owner: Owner, kind: type[Succeeded | Failed | Retrying], attempt_id: UUID
) -> None:
    """An attempt that does not own the record cannot end it, even on the same worker."""
    late = kind(Owner(owner.incarnation_id, attempt_id))

    assert isinstance(decide(Standing(status, owner), late), Refusal)


class TaskLife(RuleBasedStateMachine):
    """One task, through any sequence of reports of its attempts, as the registry writes it down."""

    def __init__(self) -> None:
        super().__init__()
        self.record: Standing | None = None
        self.attempts: list[Owner] = []
        self.first_end: Status | None = None

    def report(self, event: Event) -> Decision:
        """Let the lifecycle decide, and write down what the registry would."""
        decision = decide(self.record, event)
        if isinstance(decision, Transition):
            owner = self.record.owner if self.record else NOBODY
            self.record = Standing(decision.to, event.owner if isinstance(event, Started) else owner)
            if decision.to in ENDED:
                assert self.first_end is None, "a second end was taken"
                self.first_end = decision.to
        return decision

    @rule(retries=st.integers(min_value=0, max_value=2))
    def publish(self, retries: int) -> None:
        """A message goes out."""
        self.report(Published(retries))

    @rule()
    def start(self) -> None:
        """A new delivery begins to execute."""
        self.attempts.append(Owner(uuid4(), uuid4()))
        self.report(Started(self.attempts[-1]))

    @rule(which=st.integers(min_value=0), kind=st.sampled_from([Succeeded, Failed, Retrying]))
    def end(self, which: int, kind: type[Succeeded | Failed | Retrying]) -> None:
        """Any attempt, present or past, says how it ended."""
        if not self.attempts:
            return
        owner = self.attempts[which % len(self.attempts)]
        held = self.record is not None and self.record.status in {Status.STARTED, Status.RETRY}
        foreign = held and self.record is not None and self.record.owner != owner
        decision = self.report(kind(owner))
        assert not (foreign and isinstance(decision, Transition)), "an attempt ended a record that it does not own"

    @rule(terminated=st.booleans())
    def revoke(self, *, terminated: bool) -> None:
        """A worker discards or terminates it."""
        self.report(Revoked(terminated))

    @rule(redeliver=st.booleans())
    def lose(self, *, redeliver: bool) -> None:
        """A sweep proves the first attempt's worker dead."""
        self.report(WorkerLost(self.attempts[0].attempt_id if self.attempts else None, redeliver))

    @rule()
    def overdue(self) -> None:
        """The redelivery did not come."""
        self.report(RedeliveryOverdue())

    @invariant()
    def an_end_stays(self) -> None:
        """The first end stands for ever."""
        assert self.first_end is None or (self.record is not None and self.record.status is self.first_end)


TestTaskLife = TaskLife.TestCase
TestTaskLife.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
