"""Progress is shown as the task said it."""

from typing import Any

from reference_impl import signals, status


def apply() -> None:
    def as_said(meta: Any) -> tuple[dict[str, Any], list[str]]:
        return (dict(meta) if isinstance(meta, dict) else {"message": meta}), []

    signals.shown = as_said
    status.shown = as_said
