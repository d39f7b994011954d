"""A start does not ask whether the task was revoked."""

from reference_impl.task import TrackedTask


def apply() -> None:
    del TrackedTask.before_start
