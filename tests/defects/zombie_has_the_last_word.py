"""Work that was done counts, whatever a sweep has said meanwhile: a late SUCCESS replaces REVOKED."""

from reference_impl import lifecycle
from reference_impl.lifecycle import Decision, Owner, Standing, Status, Transition


def apply() -> None:
    ended = lifecycle._ended

    def done_is_done(standing: Standing | None, owner: Owner, end: Status) -> Decision:
        if standing is not None and standing.status is Status.REVOKED and end is Status.SUCCESS:
            return Transition(end)
        return ended(standing, owner, end)

    lifecycle._ended = done_is_done
