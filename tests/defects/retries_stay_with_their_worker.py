"""A retry belongs to the worker that ran the task before: a start anywhere else is refused, and not executed."""

from reference_impl import lifecycle, reports
from reference_impl.lifecycle import Decision, Owner, Refusal, Standing, Status


def apply() -> None:
    begin = lifecycle._started

    def started(standing: Standing | None, owner: Owner) -> Decision:
        waits = standing is not None and standing.status is Status.RETRY
        if standing is not None and waits and standing.owner.incarnation_id not in {None, owner.incarnation_id}:
            return Refusal("it is another worker's retry")
        return begin(standing, owner)

    lifecycle._started = started
    reports.Outcome.may_run = property(  # type: ignore[assignment,method-assign]
        lambda outcome: not isinstance(outcome.decision, Refusal)
    )
