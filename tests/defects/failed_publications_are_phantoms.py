"""The record is made before the message goes out, and nobody comes back to it when that fails."""

from reference_impl import signals


def apply() -> None:
    signals.tell_failed_publications = lambda _app, _tell: None
