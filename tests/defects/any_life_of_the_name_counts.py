"""Whoever answers under the node name answers for every life of it."""

from dataclasses import replace
from typing import Any

from reference_impl import sweep
from reference_impl.liveness import Liveness


def apply() -> None:
    judge = sweep._judge

    def judged(row: Any, call: Any, **kwargs: Any) -> tuple[Liveness, str]:
        if call is not None and row.worker_id in call.names:
            call = replace(call, incarnations=call.incarnations | {str(row.incarnation_id)})
        return judge(row, call, **kwargs)

    sweep._judge = judged
