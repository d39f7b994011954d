"""What a worker tells is written to the record that the publisher made; where there is none, it is not written."""

from reference_impl import registry
from reference_impl.lifecycle import Decision, Event, Refusal, Revoked, Standing, decide


def apply() -> None:
    def to_records(standing: Standing | None, event: Event) -> Decision:
        owner = getattr(event, "owner", None)
        told_by_a_worker = isinstance(event, Revoked) or (owner is not None and owner.incarnation_id is not None)
        if standing is None and told_by_a_worker:
            return Refusal("it was never published")
        return decide(standing, event)

    registry.decide = to_records
