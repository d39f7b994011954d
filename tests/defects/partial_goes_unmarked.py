"""What could not be stored is left out of a result, and nothing says so where the result is given."""

from typing import Any

from psycopg.types.json import Jsonb

from reference_impl import ordinary, stored_results
from reference_impl.stored_results import Kept


def apply() -> None:
    values = stored_results.put_values

    def unmarked(kept: Kept) -> dict[str, Any]:
        return values(kept) | {"left_out": Jsonb([])}

    stored_results.put_values = ordinary.put_values = unmarked
