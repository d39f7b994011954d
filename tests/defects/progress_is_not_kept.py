"""Progress goes to the result backend alone; the tracker knows when a task began, and takes that for its last sign."""

from reference_impl import signals


def apply() -> None:
    signals.tell_progress = lambda _app, _tell: None
