"""The last one to report an end is believed: each further report is another transition."""

from reference_impl import lifecycle
from reference_impl.lifecycle import ENDED, Decision, Owner, Standing, Status, Transition


def apply() -> None:
    ended = lifecycle._ended

    def believe(standing: Standing | None, owner: Owner, end: Status) -> Decision:
        if standing is not None and standing.status in ENDED - {Status.REVOKED}:
            return Transition(end)
        return ended(standing, owner, end)

    lifecycle._ended = believe
