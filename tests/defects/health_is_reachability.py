"""All is well as long as the stores can be reached, whatever they say."""

from dataclasses import replace
from typing import Any

from reference_impl import api_health


def apply() -> None:
    look = api_health.look

    def whether_they_answer(*args: Any) -> Any:
        return replace(look(*args), stale=())

    api_health.look = whether_they_answer
