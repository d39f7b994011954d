"""The list is filtered by status and time, and not by name."""

from dataclasses import replace
from typing import Any

from reference_impl import api_scheduler


def apply() -> None:
    page = api_scheduler.page

    def of_any_name(connection: Any, asked: Any, *how: Any, **more: Any) -> Any:
        return page(connection, replace(asked, name=None), *how, **more)

    api_scheduler.page = of_any_name
