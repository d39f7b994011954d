"""Who does not answer the roll call is dead, lease or no lease."""

from reference_impl import closing, sweep
from reference_impl.liveness import Evidence, Liveness


def judge(evidence: Evidence) -> tuple[Liveness, str]:
    return (Liveness.ALIVE, "it answers") if evidence.answered else (Liveness.DEAD, "it does not answer")


def apply() -> None:
    sweep.judge = judge
    closing._still_dead = lambda *_: True
