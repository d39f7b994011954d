"""A roll call that fails ends the thread that sweeps; when the broker is back, nobody sweeps any more."""

from typing import Any

from reference_impl import sweep, worker
from reference_impl.rollcall import RollCall


class _Gone(BaseException):
    """The broker went away; no handler of ordinary errors stops this one."""


def apply() -> None:
    call_the_roll = sweep.call_the_roll

    def or_end(*arguments: Any, **how: Any) -> RollCall:
        call = call_the_roll(*arguments, **how)
        if not call.broker_works:
            raise _Gone(call.why)
        return call

    run = worker.Sweeper._run

    def until_the_end(self: worker.Sweeper) -> None:
        try:
            run(self)
        except _Gone:
            return

    sweep.call_the_roll = or_end
    worker.Sweeper._run = until_the_end
