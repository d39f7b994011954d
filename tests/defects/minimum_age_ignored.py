"""The sweep does not look at a record's age."""

from typing import Any

from reference_impl import sweep
from reference_impl.settings import Settings


def apply() -> None:
    close = sweep._close

    def at_any_age(engine: Any, app: Any, settings: Settings, *args: Any, **kwargs: Any) -> Any:
        return close(engine, app, settings.model_copy(update={"minimum_age_s": 0.0}), *args, **kwargs)

    sweep._close = at_any_age
