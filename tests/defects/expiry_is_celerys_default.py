"""Results are kept for Celery's day, whatever is configured."""

from reference_impl import backend


def apply() -> None:
    backend.expires_s = lambda _app: 86_400.0
