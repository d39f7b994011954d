"""A worker that no row knows is taken for one that is gone."""

from typing import Any

from reference_impl import sweep
from reference_impl.liveness import Liveness


def apply() -> None:
    judge = sweep._judge

    def judged(row: Any, *args: Any, **kwargs: Any) -> tuple[Liveness, str]:
        return judge(row, *args, **kwargs) if row.registered else (Liveness.DEAD, "its worker is not registered")

    sweep._judge = judged
