"""Whatever is wrong with an agent is one and the same: it runs without a task."""

from typing import Any

from reference_impl import checkup
from reference_impl.agreement import Kind


def apply() -> None:
    find = checkup.find_disagreements

    def of_one_kind(*args: Any, **how: Any) -> Any:
        for found in find(*args, **how):
            object.__setattr__(found, "kind", Kind.RUNNING_WITHOUT_TASK)
            yield found

    checkup.find_disagreements = of_one_kind
