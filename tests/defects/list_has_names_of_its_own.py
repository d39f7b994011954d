"""The list of tasks was written first, and calls the worker what the registry calls it."""

from typing import Any

from reference_impl import api


def apply() -> None:
    class Page(api.Page):
        tasks: list[Any]

        def __init__(self, **given: Any) -> None:
            renamed = []
            for document in given["tasks"]:
                fields = document.model_dump(mode="json")
                fields["worker_id"] = fields.pop("worker")
                renamed.append(fields)
            super().__init__(**{**given, "tasks": renamed})

    api.Page = Page  # type: ignore[misc]
