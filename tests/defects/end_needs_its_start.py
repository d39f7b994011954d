"""An end is refused as long as the start has not been recorded, as if it could not have come first."""

from reference_impl import lifecycle
from reference_impl.lifecycle import Decision, Owner, Refusal, Standing, Status


def apply() -> None:
    decide = lifecycle._ended

    def ended(standing: Standing | None, owner: Owner, end: Status) -> Decision:
        if standing is None or standing.status is Status.PENDING:
            return Refusal("it has not started")
        return decide(standing, owner, end)

    lifecycle._ended = ended
