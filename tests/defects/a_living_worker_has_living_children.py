"""As long as a worker lives nobody looks whether the child still exists that executes a task."""

from reference_impl import sweep
from reference_impl.liveness import Liveness


def apply() -> None:
    sweep._judge_own = lambda _row: (Liveness.ALIVE, "it makes this sweep itself")
