"""What cannot be read as a result is taken for a failure."""

from typing import Any

from reference_impl.noted_results import Notes


def apply() -> None:
    meta = Notes._meta

    def read(self: Notes, value: bytes) -> dict[str, Any]:
        told = meta(self, value)
        return told if isinstance(told, dict) else {"status": "FAILURE"}

    Notes._meta = read  # type: ignore[method-assign]
