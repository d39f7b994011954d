"""Progress that could not be dropped when its run ended is not dropped later."""

from typing import Any

from reference_impl import agreement
from reference_impl.lifecycle import Status


def apply() -> None:
    find = agreement.find_disagreements

    def of_swept_tasks(connection: Any, progress: Any, **how: Any) -> Any:
        for found in find(connection, progress, **how):
            if str(Status.SUCCESS) not in found.why:
                yield found

    agreement.find_disagreements = of_swept_tasks
