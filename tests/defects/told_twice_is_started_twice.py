"""A start that is written again, as the answer to its commit was lost, counts as another attempt."""

from reference_impl import lifecycle
from reference_impl.lifecycle import Decision, Owner, Standing, Status, Transition


def apply() -> None:
    decide = lifecycle._started

    def started(standing: Standing | None, owner: Owner) -> Decision:
        if standing is not None and standing.status is Status.STARTED and not standing.owner_lives:
            return Transition(Status.STARTED, note="delivered again while an earlier attempt had not ended")
        return decide(standing, owner)

    lifecycle._started = started
