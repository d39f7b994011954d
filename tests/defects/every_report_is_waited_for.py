"""No breaker: while the database is away each report waits for it, up to its bound."""

from reference_impl import recorder


def apply() -> None:
    recorder.Recorder._trouble = property(lambda _self: False, lambda _self, _value: None)
