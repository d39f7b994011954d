"""Arguments are made storable in the very objects that the task gets, and not in a copy."""

import dataclasses
from typing import Any

from reference_impl import signals
from reference_impl.storable import readable, storable


def tidy(value: object, **rest: Any) -> None:
    if isinstance(value, dict):
        value.update({name: storable(item, **rest) for name, item in value.items()})
    elif isinstance(value, list):
        value[:] = [storable(item, **rest) for item in value]
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            setattr(value, field.name, readable(getattr(value, field.name)))


def stored(value: object, **rest: Any) -> Any:
    for argument in value if isinstance(value, tuple | list) else ():
        tidy(argument, **rest)
    return storable(value, **rest)


def apply() -> None:
    signals.storable = stored
