"""An analysis without a payload is not kept."""

from typing import Any

from reference_impl.analysis import task


def apply() -> None:
    persist = task.persist

    def unless_empty(engine: Any, settings: Any, document: Any) -> Any:
        return document if document.is_empty else persist(engine, settings, document)

    task.persist = unless_empty
