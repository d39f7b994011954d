"""A failure that the result backend could not take is told as that of the backend."""

from celery.backends.base import Backend

from reference_impl import backend


def apply() -> None:
    backend._Keeping.mark_as_failure = Backend.mark_as_failure  # type: ignore[method-assign]
