"""A token that may see the tasks of one owner sees those of all, one at a time."""

from typing import Any

from reference_impl import api
from reference_impl.status import read_status


def apply() -> None:
    def of_anybody(connection: Any, task_id: str, **how: Any) -> Any:
        return read_status(connection, task_id, **(how | {"owner": None}))

    api.read_status = of_anybody
