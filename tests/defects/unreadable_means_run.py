"""A redelivered task runs when its revocation cannot be read."""

from reference_impl.task import TrackedTask


def apply() -> None:
    TrackedTask._await_revocations = lambda *_: None
