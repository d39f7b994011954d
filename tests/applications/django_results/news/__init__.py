"""A newspaper: Django, with django-celery-results for its tasks' results."""

from news.celery import app as celery_app

__all__ = ["celery_app"]
