"""A process that ends with unwritten reports takes them along without a word."""

from reference_impl import recorder


def apply() -> None:
    recorder.Recorder.flush = lambda _self, _timeout_s: 0
