"""The message of a soft time limit is Celery's own, which does not tell how long the limit was."""

from reference_impl import signals


def apply() -> None:
    signals._limit = lambda _task, _exception: None
