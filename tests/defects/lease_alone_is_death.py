"""A lease that has run out is taken for death, whoever answers."""

from reference_impl import sweep
from reference_impl.liveness import Evidence, Liveness


def judge(evidence: Evidence) -> tuple[Liveness, str]:
    if evidence.lease_ran_out and evidence.watched:
        return Liveness.DEAD, "its lease has run out"
    return Liveness.ALIVE, "its lease is being renewed"


def apply() -> None:
    sweep.judge = judge
