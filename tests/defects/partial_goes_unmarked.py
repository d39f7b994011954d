"""What could not be stored is left out of a result, and nothing says so where the result is given."""

import dataclasses
from typing import Any

from reference_impl import registry, stored_results


def apply() -> None:
    def put(connection: Any, task_id: str, kept: stored_results.Kept, completed_at: Any) -> None:
        stored_results.put(connection, task_id, dataclasses.replace(kept, left_out=()), completed_at)

    registry.put = put
