"""Silence through a broker that carries nothing counts as silence."""

from dataclasses import replace

from reference_impl import liveness, sweep
from reference_impl.liveness import Evidence, Liveness


def judge(evidence: Evidence) -> tuple[Liveness, str]:
    return liveness.judge(replace(evidence, broker_works=True, silent_before=True))


def apply() -> None:
    sweep.judge = judge
