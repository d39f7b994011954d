"""Whether a lease has run out, and when somebody was silent, is read from the sweeper's own clock."""

import time

from sqlalchemy import TextClause, bindparam, text

from reference_impl import closing, sweep


def by_own_clock(statement: TextClause) -> TextClause:
    compared = statement.text.replace("< clock_timestamp()", "< to_timestamp(:own_clock)")
    compared = compared.replace("= clock_timestamp()", "= to_timestamp(:own_clock)")
    return text(compared).bindparams(bindparam("own_clock", callable_=time.time))


def apply() -> None:
    sweep._SUSPECTS = by_own_clock(sweep._SUSPECTS)
    closing._LEASE_AGAIN = by_own_clock(closing._LEASE_AGAIN)
    sweep._NOTE_SILENCE = by_own_clock(sweep._NOTE_SILENCE)
