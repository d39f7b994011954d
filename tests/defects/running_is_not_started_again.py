"""A task that is said to run is not started again: its redelivery counts as a mistake."""

from reference_impl import lifecycle
from reference_impl.lifecycle import Decision, Owner, Refusal, Standing, Status


def apply() -> None:
    decide = lifecycle._started

    def started(standing: Standing | None, owner: Owner) -> Decision:
        if standing is not None and standing.status is Status.STARTED:
            return Refusal("it is running already")
        return decide(standing, owner)

    lifecycle._started = started
