"""A task that is executed twice at once looks like one that was delivered again after a death."""

from reference_impl import registry


def apply() -> None:
    registry._fate_of_owner = lambda _connection, _report, _row: registry._Fate.UNKNOWN
