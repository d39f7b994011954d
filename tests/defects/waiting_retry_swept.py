"""A task that waits for its retry is looked for at the worker that ran it before."""

from sqlalchemy import text

from reference_impl import lifecycle, sweep
from reference_impl.lifecycle import Decision, Standing, Status, Transition


def apply() -> None:
    query = str(sweep._SUSPECTS)
    query = query.replace("a.ended_at IS NULL AND", "").replace(
        "r.status = 'STARTED' AND", "r.status IN ('STARTED', 'RETRY') AND"
    )
    sweep._SUSPECTS = text(query)
    worker_lost = lifecycle._worker_lost

    def lost(standing: Standing | None, *args: object, **kwargs: bool) -> Decision:
        if standing is not None and standing.status is Status.RETRY:
            return Transition(Status.REVOKED)
        return worker_lost(standing, *args, **kwargs)  # type: ignore[arg-type]

    lifecycle._worker_lost = lost
