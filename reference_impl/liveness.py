"""Alive, unknown or dead: what the evidence about an incarnation amounts to. No I/O.

Death takes two witnesses: the incarnation's own lease has run out in the database, and the incarnation was
silent through a broker that the sweep's own round trip showed to work. One alone is unknown. The second is heard
twice: on a machine with much to do, who lives may be late for one roll call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ASKED_AGAIN = "its lease has run out, and it was silent through a working broker; it is asked again"


class Liveness(StrEnum):
    """The three values."""

    ALIVE = "alive"
    UNKNOWN = "unknown"
    DEAD = "dead"


@dataclass(frozen=True)
class Evidence:
    """What one pass of a sweep knows about one incarnation.

    `watched` is whether sweeps have been in touch with the database for a full lease without a gap: after an
    outage every lease looks run out. `broker_excused` replaces the broker's proof by somebody's word (--force).
    `silent_before` is whether it has missed an earlier roll call, through a broker that worked, since it last renewed
    its lease.
    """

    lease_ran_out: bool
    watched: bool
    answered: bool
    broker_works: bool
    broker_excused: bool = False
    silent_before: bool = False


def judge(evidence: Evidence) -> tuple[Liveness, str]:
    """The verdict and the sentence that explains it."""
    if not evidence.lease_ran_out:
        return Liveness.ALIVE, "its lease is being renewed"
    if evidence.answered:
        return Liveness.ALIVE, "its lease has run out, but it answers through the broker"
    if not evidence.watched:
        return Liveness.UNKNOWN, "its lease has run out, but the sweeps have not been watching for a full lease yet"
    if evidence.broker_works and not (evidence.silent_before or evidence.broker_excused):
        return Liveness.UNKNOWN, ASKED_AGAIN
    if evidence.broker_works:
        return Liveness.DEAD, "its lease has run out and it is silent through a working broker"
    if evidence.broker_excused:
        return Liveness.DEAD, "its lease has run out; the broker's proof was replaced by --force"
    return Liveness.UNKNOWN, "its lease has run out, but the broker is not shown to work, so its silence says nothing"
